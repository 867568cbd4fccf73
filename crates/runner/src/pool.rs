//! The pool of slots: hands each attempt a slot, keeps warm ones ready, ends what is old, idle or doubtful.
//!
//! Everything that takes time before user code is paid before the attempt arrives. A replacement for a warm slot that was
//! handed out is started when nothing runs, or after a short while, so that it does not take the processor from the very
//! attempt that took it. If the process dies, the kernel ends the slots, and the next [`Pool::open`] removes what is left.

mod upkeep;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use keywright_domain::{
    AttemptEnd, AttemptOrder, BrowserChoice, DeploymentId, Isolation, Language, Secret, state_strings, with_causes,
};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::ending::{Ending, end_of};
use crate::environment::SlotKind;
use crate::host::AttemptHost;
use crate::ledger::{Ledger, Pair, Place, Taken};
use crate::log::{AttemptLog, Stream};
use crate::mask::Masker;
use crate::protocol::Level;
use crate::runtime::RuntimePaths;
use crate::sandbox::{Protections, SandboxPolicy};
use crate::slot::{Served, Slot};
use crate::trace::RawTrace;
use crate::yard::Yard;

/// How often one attempt may be given another slot because the first failed before user code began.
const MAX_SLOTS_PER_ATTEMPT: u32 = 2;

/// A slot ends after this many attempts,
const MAX_ATTEMPTS_PER_SLOT: u32 = 50;

/// or at this age: browsers grow.
const MAX_SLOT_AGE: Duration = Duration::from_secs(60 * 60);

/// Everything must be gone this long after [`Pool::close`] was called.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The installed base environments.
    pub runtime: RuntimePaths,
    /// Holds one folder per deployment, readable by everybody.
    pub deployments: PathBuf,
    /// Holds one folder per slot; emptied when the pool opens.
    pub slots: PathBuf,
    /// Holds raw traces until they are cleaned; emptied when the pool opens.
    pub traces: PathBuf,
    /// Most attempts at the same time.
    pub concurrency: usize,
    /// How browsers are started.
    pub browser: BrowserConfig,
    /// Whether to run where the host allows no sandbox.
    pub sandbox: SandboxPolicy,
}

/// How browsers are started.
#[derive(Clone, Debug)]
pub struct BrowserConfig {
    /// The fast browser's program.
    pub headless_shell: PathBuf,
    /// Full Chromium's program.
    pub chromium: PathBuf,
    /// The operator's own arguments, checked by the configuration, added to ours.
    pub args: Vec<String>,
    /// Whether pages may have certificates that nobody vouches for.
    pub ignore_https_errors: bool,
}

/// Why a pool cannot be opened. Completes "failed to …".
#[derive(Debug, Error)]
pub enum PoolError {
    /// A folder cannot be used, or something of an earlier life in it cannot be ended.
    #[error("prepare the folders of slots")]
    Folders(#[source] io::Error),
    /// The sandbox is required and the host does not allow it.
    #[error("protect the machine from user code, which was required: {0}")]
    NoSandbox(String),
}

/// What is left of an attempt.
#[derive(Debug)]
pub struct AttemptReport {
    /// How it ended.
    pub end: AttemptEnd,
    /// Its log: JSON lines, secrets masked.
    pub log: Bytes,
    /// Its trace as the runner wrote it, to be cleaned before anybody may have it.
    pub trace: Option<RawTrace>,
}

/// The pool. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    yard: Yard,
    room: Semaphore,
    ledger: Mutex<Ledger<Resting>>,
    /// Counts changes of the ledger, for those who wait for one.
    changes: watch::Sender<u64>,
    closing: CancellationToken,
}

/// A slot nobody uses at the moment.
#[derive(Debug)]
struct Resting {
    slot: Slot,
    since: Instant,
}

/// Why there is no slot for an attempt.
enum NoSlot {
    Canceled,
    Closing,
    Failed(String),
}

impl Pool {
    /// Opens a pool: ends and removes what an earlier life left, finds out what the host allows, and begins to warm one slot
    /// per language.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub async fn open(config: PoolConfig) -> Result<Self, PoolError> {
        let concurrency = config.concurrency.max(1);
        let yard = Yard::open(config).await?;
        let base = [Language::Node, Language::Python].map(SlotKind::base).to_vec();
        let inner = Arc::new(Inner {
            yard,
            room: Semaphore::new(concurrency),
            ledger: Mutex::new(Ledger::new(concurrency, base.clone())),
            changes: watch::channel(0).0,
            closing: CancellationToken::new(),
        });
        for kind in base {
            inner.start_warming(kind);
        }
        let keeper = Arc::clone(&inner);
        inner.yard.tasks().spawn(async move { keeper.look_after().await });
        Ok(Self { inner })
    }

    /// What protects the machine from user code, and what does not.
    #[must_use]
    pub fn protections(&self) -> &Protections {
        self.inner.yard.protections()
    }

    /// Executes one attempt. When it returns, either the attempt's runner said that user code is over, or every process of its
    /// slot is gone.
    pub async fn execute(&self, order: AttemptOrder, host: Arc<dyn AttemptHost>, cancel: CancellationToken) -> AttemptReport {
        let mut log = AttemptLog::new(Masker::new(order.masked.reveal()));
        let (stage, mut masked) = (order.stage, order.masked.reveal().clone());
        // On a task of its own: when nobody waits for the report any more the attempt is canceled, and its slot still comes to
        // an orderly end.
        let cancel = cancel.child_token();
        let _canceled_when_dropped = cancel.clone().drop_guard();
        let inner = Arc::clone(&self.inner);
        let executed = self.inner.yard.tasks().spawn(async move {
            let served = inner.execute(&order, &host, &cancel, &mut log).await;
            (served, log)
        });
        let Ok((Served { ending, has_run, trace }, log)) = executed.await else {
            let end = end_of(stage, true, Ending::Lost("finished: its supervisor ended unexpectedly".to_owned()));
            return AttemptReport { end, log: Bytes::new(), trace: None };
        };
        let end = match end_of(stage, has_run, ending) {
            AttemptEnd::Failed(mut failure) => {
                failure.message = log.clean(&failure.message);
                AttemptEnd::Failed(failure)
            }
            other @ (AttemptEnd::Returned { .. }
            | AttemptEnd::Captured { .. }
            | AttemptEnd::CheckPassed
            | AttemptEnd::Aborted) => other,
        };
        let log = match &end {
            // Nobody knew what the login would get while the log was written.
            AttemptEnd::Captured { state } => {
                let got = state_strings(state.reveal());
                let log = log.into_bytes_without(&got);
                masked.extend(got);
                log
            }
            AttemptEnd::Returned { .. } | AttemptEnd::CheckPassed | AttemptEnd::Failed(_) | AttemptEnd::Aborted => {
                log.into_bytes()
            }
        };
        let trace = trace.map(|path| RawTrace { path, is_login: stage.is_login(), masked: Secret::new(masked) });
        AttemptReport { end, log, trace }
    }

    /// Keeps a slot warm for a deployment whose environment or browser is not the base one.
    pub async fn warm(&self, deployment: &DeploymentId, browser: BrowserChoice) {
        match self.inner.yard.manifest(deployment).await {
            Ok(manifest) => {
                let kind = SlotKind::of(deployment, &manifest, browser);
                let dropped = self.inner.ledger().want(kind.clone());
                if let Some(resting) = dropped {
                    self.inner.end_later(resting.slot);
                }
                self.inner.start_warming(kind);
            }
            Err(error) => tracing::warn!(%deployment, error = &error as &dyn std::error::Error, "no slot is warmed"),
        }
    }

    /// Ends every slot. Attempts that are under way are lost. Nothing is left within 10 s.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        let resting = self.inner.ledger().close();
        for resting in resting {
            self.inner.end_later(resting.slot);
        }
        self.inner.changed();
        self.inner.yard.tasks().close();
        if timeout(CLOSE_TIMEOUT, self.inner.yard.tasks().wait()).await.is_err() {
            tracing::error!("slots were still ending when the pool was left");
        }
    }
}

impl Inner {
    fn ledger(&self) -> MutexGuard<'_, Ledger<Resting>> {
        // No code that can panic half-way runs under the lock.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    async fn execute(
        self: &Arc<Self>,
        order: &AttemptOrder,
        host: &Arc<dyn AttemptHost>,
        cancel: &CancellationToken,
        log: &mut AttemptLog,
    ) -> Served {
        let without_slot = |ending| Served { ending, has_run: false, trace: None };
        let permit = tokio::select! {
            biased;
            () = cancel.cancelled() => return without_slot(Ending::Canceled),
            () = self.closing.cancelled() => return without_slot(closing()),
            permit = self.room.acquire() => permit,
        };
        let Ok(_permit) = permit else { return without_slot(closing()) };
        let mut slots = 0;
        loop {
            slots += 1;
            let (place, slot) = match self.take(order, cancel).await {
                Ok(taken) => taken,
                Err(NoSlot::Canceled) => return without_slot(Ending::Canceled),
                Err(NoSlot::Closing) => return without_slot(closing()),
                Err(NoSlot::Failed(why)) if slots >= MAX_SLOTS_PER_ATTEMPT => return without_slot(Ending::Lost(why)),
                Err(NoSlot::Failed(why)) => {
                    log.note(Level::Warn, Stream::Keywright, &format!("the attempt could not be {why}; trying once more"));
                    continue;
                }
            };
            fail::fail_point!("runner::slot-acquired");
            let served = self.serve(place, slot, order, host, cancel, log).await;
            if served.has_run || slots >= MAX_SLOTS_PER_ATTEMPT || !is_slots_fault(&served.ending) {
                return served;
            }
            log.note(Level::Warn, Stream::Keywright, "the slot failed before user code began; taking another one");
        }
    }

    /// A slot for an attempt, sound and in its place.
    async fn take(self: &Arc<Self>, order: &AttemptOrder, cancel: &CancellationToken) -> Result<(Place, Slot), NoSlot> {
        let manifest = self
            .yard
            .manifest(&order.deployment)
            .await
            .map_err(|error| NoSlot::Failed(format!("started: {}", with_causes(&error))))?;
        let kind = SlotKind::of(&order.deployment, &manifest, order.browser);
        let pair = Pair::of(order);
        let is_fresh_wanted = order.isolation == Isolation::Attempt;
        let ticket = self.ledger().ticket();
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let (taken, evicted) = self.ledger().take(&pair, &kind, is_fresh_wanted, ticket);
            if let Some(resting) = evicted {
                self.end_later(resting.slot);
            }
            let (place, mut resting) = match taken {
                Taken::Again(place, resting) => (place, resting),
                Taken::Warm(place, resting) => {
                    self.replace_later(kind.clone());
                    (place, resting)
                }
                Taken::Cold(place) => {
                    self.replace_later(kind.clone());
                    return self.start(place, kind, cancel).await;
                }
                Taken::Wait => {
                    tokio::select! {
                        () = cancel.cancelled() => return Err(NoSlot::Canceled),
                        () = self.closing.cancelled() => return Err(NoSlot::Closing),
                        // The sender lives as long as the pool.
                        _ = changes.changed() => continue,
                    }
                }
            };
            if resting.slot.is_sound() {
                return Ok((place, resting.slot));
            }
            tracing::info!("a waiting slot was no longer sound");
            self.leave(place);
            self.end_later(resting.slot);
        }
    }

    async fn start(self: &Arc<Self>, place: Place, kind: SlotKind, cancel: &CancellationToken) -> Result<(Place, Slot), NoSlot> {
        let stop = self.closing.child_token();
        let started = {
            let starting = Slot::start(&self.yard, kind, &stop);
            tokio::pin!(starting);
            tokio::select! {
                started = &mut starting => started,
                () = cancel.cancelled() => {
                    stop.cancel();
                    starting.await
                }
            }
        };
        let why = match started {
            Ok(slot) => return Ok((place, slot)),
            Err(_) if cancel.is_cancelled() => NoSlot::Canceled,
            Err(_) if self.closing.is_cancelled() => NoSlot::Closing,
            Err(error) => NoSlot::Failed(format!("started: {}", with_causes(&error))),
        };
        self.leave(place);
        Err(why)
    }

    /// The attempt in its slot, and what becomes of the slot.
    async fn serve(
        self: &Arc<Self>,
        place: Place,
        mut slot: Slot,
        order: &AttemptOrder,
        host: &Arc<dyn AttemptHost>,
        cancel: &CancellationToken,
        log: &mut AttemptLog,
    ) -> Served {
        // Closing the pool ends attempts as a cancellation does; what is said about it differs.
        let stop = cancel.child_token();
        let mut served = {
            let serving = slot.serve(&self.yard, order, host, &stop, log);
            tokio::pin!(serving);
            tokio::select! {
                served = &mut serving => served,
                () = self.closing.cancelled() => {
                    stop.cancel();
                    serving.await
                }
            }
        };
        if matches!(served.ending, Ending::Canceled) && !cancel.is_cancelled() {
            served.ending = closing();
        }
        if !matches!(served.ending, Ending::Said(_)) {
            // User code may still run; the next attempt must not begin before it is dead.
            slot.end(&self.yard, false).await;
            self.leave(place);
            return served;
        }
        self.ledger().settle(place);
        self.changed();
        let (keeper, isolation) = (Arc::clone(self), order.isolation);
        self.yard.tasks().spawn(async move { keeper.settle(place, slot, isolation).await });
        served
    }

    /// After an orderly end: back to its pair, or gone.
    async fn settle(&self, place: Place, mut slot: Slot, isolation: Isolation) {
        let settled = slot.settle().await;
        if let Err(why) = &settled {
            tracing::debug!(why, "a slot is not used again");
        }
        let is_kept = settled.is_ok()
            && isolation == Isolation::Session
            && slot.attempts() < MAX_ATTEMPTS_PER_SLOT
            && slot.began().elapsed() < MAX_SLOT_AGE
            && !self.closing.is_cancelled();
        if is_kept {
            self.ledger().park(place, Resting { slot, since: Instant::now() });
            self.changed();
        } else {
            self.leave(place);
            slot.end(&self.yard, settled.is_ok()).await;
        }
    }

    fn leave(&self, place: Place) {
        drop(self.ledger().leave(place));
        self.changed();
    }

    fn end_later(self: &Arc<Self>, slot: Slot) {
        let keeper = Arc::clone(self);
        self.yard.tasks().spawn(async move { slot.end(&keeper.yard, true).await });
    }
}

/// What is said of an attempt that the end of the pool cut off.
fn closing() -> Ending {
    Ending::Lost("finished: the worker was stopped".to_owned())
}

/// Whether another slot could do better.
const fn is_slots_fault(ending: &Ending) -> bool {
    match ending {
        Ending::Exited(_) | Ending::Broken(_) | Ending::Lost(_) | Ending::Said(_) => true,
        Ending::TimedOut(_) | Ending::Canceled => false,
    }
}
