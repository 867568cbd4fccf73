//! Starting and stopping: the worker's first life begins, what earlier lives left is put in order with it, and the loops start;
//! at the end what is under way gets its grace, and what is left is handed back.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::{BrowserChoice, LeaseTerms, NodeId, ProxyUrl, RetentionPolicy, WorkerLabels};
use keywright_store::{Blobs, Clock, Entropy, FileLinks, Store, StoreError, Supersedes};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fitness::Fitness;
use crate::gates::Gates;
use crate::local_builds::LocalBuilds;
use crate::order::Defaults;
use crate::shared::Shared;
use crate::status::{EngineStatus, Status};
use crate::traces::Traces;
use crate::{Builder, Executor, life};

/// How long attempts that were told to end, and the commits of their ends, are waited for. An executor needs at most ten
/// seconds.
const MAX_STOP: Duration = Duration::from_secs(15);

/// How long after that the retirement of the worker is waited for. It gives up by itself a little before.
const MAX_RETIREMENT: Duration = Duration::from_secs(6);

/// What this process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineRoles {
    /// Leads runs and builds deployments.
    pub is_worker: bool,
    /// Sweeps, when it has the scheduler's seat.
    pub is_scheduler: bool,
}

/// Who this process is to the other ones on its store.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its data folder.
    pub node: NodeId,
    /// The name of its machine.
    pub host: String,
    /// The version of the program.
    pub version: String,
    /// Whose earlier lives it knows to be over.
    pub supersedes: Supersedes,
}

/// What an engine is made of.
#[derive(Debug)]
pub struct EngineParts {
    /// The store. Other engines may work on it at the same time.
    pub store: Arc<dyn Store>,
    /// Where archives, logs, traces and files lie.
    pub blobs: Blobs,
    /// The time of this machine. It decides no more than how long this process believes in its own lease.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for identities.
    pub entropy: Arc<dyn Entropy>,
    /// Executes attempts.
    pub executor: Arc<dyn Executor>,
    /// Builds deployments.
    pub builder: Arc<dyn Builder>,
    /// Makes links to files that user code stores.
    pub links: FileLinks,
    /// Runs under way at once; at least one.
    pub concurrency: usize,
    /// The proxy behind `intuned://auto`.
    pub default_proxy: Option<ProxyUrl>,
    /// The browser of projects that name none.
    pub default_browser: BrowserChoice,
    /// What the process does. With neither role the engine does nothing.
    pub roles: EngineRoles,
    /// Who the process is.
    pub identity: Identity,
    /// What its worker offers.
    pub labels: WorkerLabels,
    /// The times that its lease lives by; the same in all processes on one store.
    pub terms: LeaseTerms,
    /// What is kept for how long.
    pub retention: RetentionPolicy,
}

/// A running engine. It goes on until [`Engine::stop`]; dropping the handle alone stops nothing.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Begins the worker's first life, which puts in order what earlier ones left, and starts. A store that is not available
    /// is not an error: the first life begins when it is.
    ///
    /// # Errors
    /// When the store refuses for good; nothing was begun then.
    pub async fn start(parts: EngineParts) -> Result<Self, StoreError> {
        let capacity = parts.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            store: parts.store,
            blobs: parts.blobs,
            clock: parts.clock,
            entropy: parts.entropy,
            executor: parts.executor,
            builder: parts.builder,
            links: parts.links,
            defaults: Defaults { proxy: parts.default_proxy, browser: parts.default_browser },
            roles: parts.roles,
            identity: parts.identity,
            labels: parts.labels,
            terms: parts.terms,
            retention: parts.retention,
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            freed: Notify::new(),
            sessions: Gates::default(),
            folders: Gates::default(),
            local_builds: LocalBuilds::default(),
            fitness: Fitness::default(),
            traces: Traces::default(),
            status: Status::default(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            abandoning: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        if parts.roles.is_worker || parts.roles.is_scheduler {
            let first = match life::register(&shared).await {
                Ok(life) => Some(life),
                Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the store is not available; the worker begins when it is");
                    shared.status.unanswered(shared.clock.now());
                    None
                }
                Err(error @ (StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_))) => {
                    return Err(error);
                }
            };
            shared.tasks.spawn(life::live(Arc::clone(&shared), first));
        }
        Ok(Self { shared })
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let shared = &self.shared;
        shared.status.fill(EngineStatus {
            worker: None,
            is_fenced: false,
            is_scheduler: false,
            places: shared.capacity,
            places_free: shared.places.available_permits(),
            is_draining: shared.draining.is_cancelled(),
            start_failures: shared.fitness.failures(),
            is_unfit: shared.fitness.is_unfit(),
            store_trouble_since: None,
        })
    }

    /// Stops: takes no more runs and begins no more attempts at once, lets attempts that are under way go on until `grace` is
    /// over, then ends them. Runs that have not ended are handed back, and the worker retires; an attempt whose user code has
    /// started counts. Takes a bounded time after the grace, whatever the store does.
    pub async fn stop(&self, grace: impl Future<Output = ()>) {
        let shared = &self.shared;
        shared.draining.cancel();
        shared.tasks.close();
        tokio::select! {
            biased;
            () = shared.tasks.wait() => return,
            () = grace => {}
        }
        tracing::info!("the grace is over; ending what is under way");
        shared.stopping.cancel();
        if tokio::time::timeout(MAX_STOP, shared.tasks.wait()).await.is_ok() {
            return;
        }
        shared.abandoning.cancel();
        if tokio::time::timeout(MAX_RETIREMENT, shared.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = shared.tasks.len(), "some work did not end in time; it is taken up when the lease has lapsed");
        }
    }
}
