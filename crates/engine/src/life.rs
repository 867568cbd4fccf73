//! The lives of this process's worker, one after the other.
//!
//! A life begins when the database has registered it and ends when its lease can no longer be believed in, when the database
//! says that it was given up, or when the engine stops. Everything that is done under it (runs led, builds, the scheduler's
//! seat) ends with it, at once; the next life has another id, and its registration frees what the one before still held. If
//! the process dies here, its lease lapses, and the next life on this folder or another worker's sweep frees what it held.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keywright_domain::{Standing, Tenure, Vigil, WorkerId};
use keywright_store::planted::{self, PlantedBug};
use keywright_store::{Held, NewWorker, Rescued, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::{Backoff, Halt, LONGEST_PAUSE, Repeat, patiently};
use crate::claims::{self, Claims};
use crate::heartbeat::{self, End};
use crate::shared::Shared;
use crate::{builds, dispatcher, retention, scheduler};

/// A retirement that takes longer is left to the sweep of others.
const RETIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// One life.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) shared: Arc<Shared>,
    /// Its id, which is worth nothing once it is over.
    pub(crate) worker: WorkerId,
    /// When its registration was sent, by [`keywright_store::Clock::uptime`].
    pub(crate) began_at: Duration,
    /// It is over, or must be: everything under it ends now.
    pub(crate) over: CancellationToken,
    /// Everything under it that ends when the engine drains.
    pub(crate) tasks: TaskTracker,
    pub(crate) claims: Claims,
    /// The scheduler's seat, while it is this life's as far as it knows.
    pub(crate) seat: watch::Sender<Option<Held>>,
    vigil: Mutex<Vigil>,
    tenure: Mutex<Tenure>,
}

impl Life {
    /// How long the life believes in its lease.
    pub(crate) fn tenure(&self) -> Tenure {
        *self.tenure.lock().expect("no thread panics while it holds this lock")
    }

    /// A renewal was acknowledged.
    pub(crate) fn renewed(&self, tenure: Tenure) {
        *self.tenure.lock().expect("no thread panics while it holds this lock") = tenure;
    }

    /// Makes sure that something may begin under this life at this very moment, and ends the life otherwise. A process that was
    /// asleep for long finds out here, whichever of its tasks wakes first.
    pub(crate) fn check(&self) -> Result<(), Halt> {
        let standing = self.tenure().standing(self.shared.terms, self.shared.clock.uptime());
        if standing == Standing::Fenced && !planted::is(PlantedBug::NoSelfFence) {
            self.over.cancel();
        }
        if self.over.is_cancelled() { Err(Halt::Over) } else { Ok(()) }
    }

    /// Calls the store until it answers, unless the life ends or the engine stops first.
    pub(crate) async fn patiently<T, F, Fut>(&self, what: &'static str, repeat: Repeat, call: F) -> Result<T, Halt>
    where
        F: FnMut() -> Fut + Send,
        Fut: Future<Output = Result<T, StoreError>> + Send,
    {
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(Halt::Over),
            outcome = patiently(what, repeat, &self.shared.stopping, call) => outcome,
        }
    }

    /// Starts one of the life's loops. A loop that breaks ends the life, so that nothing goes on half.
    pub(crate) fn begin(self: &Arc<Self>, what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let life = Arc::clone(self);
        let running = self.tasks.spawn(work);
        self.tasks.spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(error = &error as &dyn std::error::Error, what, "a part of the engine broke");
                life.over.cancel();
            }
        });
    }

    /// Says whether the database has answered.
    pub(crate) fn answered(&self, has_answered: bool) {
        let now = self.shared.clock.uptime();
        let mut vigil = self.vigil.lock().expect("no thread panics while it holds this lock");
        *vigil = vigil.on(has_answered, now);
        if has_answered {
            self.shared.status.answered();
        } else {
            self.shared.status.unanswered(self.shared.clock.now());
        }
    }

    /// Whether workers whose leases have lapsed may be given up.
    pub(crate) fn may_rescue(&self) -> bool {
        if planted::is(PlantedBug::RescueWithoutVigil) {
            return true;
        }
        let vigil = *self.vigil.lock().expect("no thread panics while it holds this lock");
        vigil.may_rescue(self.shared.terms, self.shared.clock.uptime())
    }
}

/// Begins a life: registers it, once.
pub(crate) async fn register(shared: &Arc<Shared>) -> Result<Arc<Life>, StoreError> {
    // An id for each try: an earlier try that nobody answered may have been carried out.
    let worker = WorkerId::from_entropy(shared.entropy.bytes());
    let began_at = shared.clock.uptime();
    let new = NewWorker {
        id: worker.clone(),
        node: shared.identity.node.clone(),
        host: shared.identity.host.clone(),
        labels: shared.labels.clone(),
        capacity: if shared.roles.is_worker { u32::try_from(shared.capacity).unwrap_or(u32::MAX) } else { 0 },
        version: shared.identity.version.clone(),
        supersedes: shared.identity.supersedes,
        ttl_ms: shared.terms.ttl_ms(),
    };
    // The belief in the lease counts from here, so an answer that comes later than this is worth little.
    let answer = tokio::time::timeout(shared.terms.fence() / 2, shared.store.register_worker(new)).await;
    let freed = answer.unwrap_or_else(|late| Err(StoreError::Unavailable(Box::new(late))))?;
    fail::fail_point!("engine::registered");
    tracing::info!(worker = %worker, node = %shared.identity.node, "a worker's life begins");
    if freed != Rescued::default() {
        let Rescued { workers, runs, builds, traces } = freed;
        tracing::info!(workers, runs, builds, traces, "taking up what earlier lives left");
    }
    shared.status.begun(worker.clone());
    Ok(Arc::new(Life {
        shared: Arc::clone(shared),
        worker,
        began_at,
        over: shared.abandoning.child_token(),
        tasks: TaskTracker::new(),
        claims: Claims::default(),
        seat: watch::Sender::new(None),
        vigil: Mutex::new(Vigil::default().on(true, began_at)),
        tenure: Mutex::new(Tenure::new(began_at)),
    }))
}

/// Lives until the engine has drained: one life after the other. `first` is one that was registered already.
pub(crate) async fn live(shared: Arc<Shared>, first: Option<Arc<Life>>) {
    let mut next = first;
    loop {
        let life = match next.take() {
            Some(life) => life,
            None => match register_patiently(&shared).await {
                Some(life) => life,
                None => return,
            },
        };
        lead(&life).await;
        if shared.draining.is_cancelled() {
            return;
        }
    }
}

/// Registers a life, however long that takes; nothing when the engine drains before.
async fn register_patiently(shared: &Arc<Shared>) -> Option<Arc<Life>> {
    let mut backoff = Backoff::new("register as a worker");
    loop {
        let pause = tokio::select! {
            biased;
            () = shared.draining.cancelled() => return None,
            registered = register(shared) => match registered {
                Ok(life) => {
                    backoff.reset();
                    return Some(life);
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => {
                    shared.status.unanswered(shared.clock.now());
                    backoff.after(&error)
                }
                // It was possible before, so this is a fault that somebody has to mend; meanwhile nothing else can be done.
                Err(error @ (StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_))) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the store refuses to register this worker");
                    LONGEST_PAUSE
                }
            },
        };
        tokio::select! {
            biased;
            () = shared.draining.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One life, from its registration until nothing of it is left.
async fn lead(life: &Arc<Life>) {
    let shared = &life.shared;
    if shared.roles.is_worker {
        life.begin("dispatcher", dispatcher::dispatch(Arc::clone(life)));
        life.begin("builds", builds::build_all(Arc::clone(life)));
    }
    if shared.roles.is_scheduler {
        life.begin("scheduler", scheduler::sweep(Arc::clone(life)));
        life.begin("retention", retention::keep_house(Arc::clone(life)));
    }
    // Cancellations are watched for until the last attempt has ended, so the watcher is not among the life's own tasks.
    shared.tasks.spawn(claims::watch(Arc::clone(life)));
    let end = heartbeat::keep(life).await;
    match end {
        End::Drained => {}
        End::Fenced => {
            tracing::error!(worker = %life.worker, "the lease could not be renewed in time; ending everything under it")
        }
        End::Over => tracing::warn!(worker = %life.worker, "the life of this worker is over; ending everything under it"),
    }
    shared.status.ended(end == End::Fenced);
    if end != End::Drained {
        // Attempts end before anything else is waited for: their lease is about to lapse.
        life.over.cancel();
    }
    if shared.draining.is_cancelled() {
        retire(life).await;
    }
    life.over.cancel();
    life.tasks.close();
    life.tasks.wait().await;
}

/// Frees what the life still holds, so that others need not wait for its lease to lapse.
async fn retire(life: &Life) {
    match tokio::time::timeout(RETIRE_TIMEOUT, life.shared.store.retire_worker(&life.worker)).await {
        Ok(Ok(freed)) => tracing::info!(worker = %life.worker, runs = freed.runs, "the worker has retired"),
        Ok(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, worker = %life.worker, "the worker could not retire; its lease will lapse");
        }
        Err(_) => tracing::warn!(worker = %life.worker, "the worker could not retire in time; its lease will lapse"),
    }
}
