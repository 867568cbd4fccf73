//! Starting and stopping: what an earlier life left is put in order first, then the loops begin; at the end what is under way
//! gets its grace, and what is left is handed back.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::{BrowserChoice, ProxyUrl, WorkerId};
use keywright_store::{Blobs, Clock, Entropy, FileLinks, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gates::Gates;
use crate::order::Defaults;
use crate::shared::Shared;
use crate::traces::{self, Traces};
use crate::{Builder, Executor, builds, dispatcher};

/// How long attempts that were told to end, and the commits of their ends, are waited for. An executor needs at most ten
/// seconds.
const MAX_STOP: Duration = Duration::from_secs(15);

/// What an engine is made of.
#[derive(Debug)]
pub struct EngineParts {
    /// The store. This engine is the only one on it.
    pub store: Arc<dyn Store>,
    /// Where archives, logs, traces and files lie.
    pub blobs: Blobs,
    /// The time.
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
}

/// A running engine. It goes on until [`Engine::stop`]; dropping the handle alone stops nothing.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Puts in order what an earlier life left, and begins.
    ///
    /// # Errors
    /// When the store cannot be put in order; nothing was begun then.
    pub async fn start(parts: EngineParts) -> Result<Self, StoreError> {
        let freed = parts.store.release_all_claims().await?;
        let dropped = parts.store.drop_pending_traces(traces::LOST).await?;
        if freed > 0 || dropped > 0 {
            tracing::info!(runs = freed, traces = dropped, "taking up what an earlier life left");
        }
        let worker = WorkerId::from_entropy(parts.entropy.bytes());
        let shared = Arc::new(Shared {
            store: parts.store,
            blobs: parts.blobs,
            clock: parts.clock,
            entropy: parts.entropy,
            executor: parts.executor,
            builder: parts.builder,
            links: parts.links,
            defaults: Defaults { proxy: parts.default_proxy, browser: parts.default_browser },
            places: Arc::new(Semaphore::new(parts.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            freed: Notify::new(),
            gates: Gates::default(),
            traces: Traces::default(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(dispatcher::dispatch(Arc::clone(&shared), worker));
        shared.tasks.spawn(dispatcher::sweep(Arc::clone(&shared)));
        shared.tasks.spawn(builds::build_all(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// Stops: takes no more runs and begins no more attempts at once, lets attempts that are under way go on until `grace` is
    /// over, then ends them. Runs that have not ended are handed back; an attempt whose user code has started counts.
    pub async fn stop(self, grace: impl Future<Output = ()>) {
        self.shared.draining.cancel();
        self.shared.tasks.close();
        tokio::select! {
            biased;
            () = self.shared.tasks.wait() => return,
            () = grace => {}
        }
        tracing::info!("the grace is over; ending what is under way");
        self.shared.stopping.cancel();
        if tokio::time::timeout(MAX_STOP, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.shared.tasks.len(), "some work did not end in time; the next start takes it up");
        }
    }
}
