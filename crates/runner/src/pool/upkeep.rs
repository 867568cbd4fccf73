//! What the pool does by itself: keeps slots warm, and ends those that rest too long.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::with_causes;
use tokio::time::{Instant, sleep, timeout};

use super::{Inner, MAX_SLOT_AGE, Resting};
use crate::environment::SlotKind;
use crate::slot::Slot;

/// A bound slot ends when its pair has not needed it for this long.
const MAX_IDLE: Duration = Duration::from_secs(5 * 60);

/// How often idle slots are looked at.
const LOOK_AFTER_INTERVAL: Duration = Duration::from_secs(5);

/// A replacement is started when nothing has run for this long,
const QUIET: Duration = Duration::from_millis(300);

/// or after this long whatever runs.
const MAX_WAIT_FOR_QUIET: Duration = Duration::from_secs(3);

/// Pause before a slot that did not come up is tried again; doubled each time,
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// up to this.
const MAX_PAUSE: Duration = Duration::from_secs(60);

impl Inner {
    /// Starts a warm slot of a kind in the background, unless there is one.
    pub(super) fn start_warming(self: &Arc<Self>, kind: SlotKind) {
        if self.closing.is_cancelled() || !self.ledger().begin_warming(&kind) {
            return;
        }
        let keeper = Arc::clone(self);
        self.yard.tasks().spawn(async move { keeper.warm_one(kind).await });
    }

    async fn warm_one(self: Arc<Self>, kind: SlotKind) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Slot::start(&self.yard, kind.clone(), &self.closing).await;
            let failed = started.as_ref().err().map(|error| with_causes(error));
            let slot = started.ok().map(|slot| Resting { slot, since: Instant::now() });
            let unwanted = self.ledger().end_warming(&kind, slot);
            self.changed();
            if let Some(resting) = unwanted {
                resting.slot.end(&self.yard, true).await;
            }
            let Some(why) = failed.filter(|_| !self.closing.is_cancelled()) else { return };
            tracing::warn!(language = kind.language.as_str(), why, "a slot did not come up");
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
            }
            if !self.ledger().begin_warming(&kind) {
                return;
            }
        }
    }

    /// Starts a warm slot for the next attempt, if its kind is kept warm at all, once nothing runs or after a short while.
    pub(super) fn replace_later(self: &Arc<Self>, kind: SlotKind) {
        let keeper = Arc::clone(self);
        self.yard.tasks().spawn(async move {
            tokio::select! {
                () = keeper.closing.cancelled() => return,
                _ = timeout(MAX_WAIT_FOR_QUIET, keeper.quiet()) => {}
            }
            keeper.start_warming(kind);
        });
    }

    /// Returns when nothing has run for a moment.
    async fn quiet(&self) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let is_busy = self.ledger().is_busy();
            let changed = async { drop(changes.changed().await) };
            if is_busy {
                changed.await;
            } else if timeout(QUIET, changed).await.is_err() {
                return;
            }
        }
    }

    /// Ends slots that have rested too long or whose process is gone, and starts what is missing.
    pub(super) async fn look_after(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = sleep(LOOK_AFTER_INTERVAL) => {}
            }
            let unfit = self.ledger().retain(|resting| {
                let is_idle_too_long = resting.slot.attempts() > 0 && resting.since.elapsed() > MAX_IDLE;
                !is_idle_too_long && resting.slot.began().elapsed() < MAX_SLOT_AGE && resting.slot.is_alive()
            });
            if !unfit.is_empty() {
                self.changed();
            }
            for resting in unfit {
                self.end_later(resting.slot);
            }
            if !self.ledger().is_busy() {
                let missing = self.ledger().missing();
                missing.into_iter().for_each(|kind| self.start_warming(kind));
            }
        }
    }
}
