//! One life of one node's process, as the outside sees it: whether it runs, and what it was told by the store.
//!
//! A life that was killed never gets past its next step into the outside. Its tasks are left where they are, which nobody can
//! tell from tasks that are gone.

use std::sync::Mutex;
use std::time::Duration;

use keywright_domain::WorkerId;
use tokio::sync::watch;
use tokio::time::Instant;

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Running,
    /// Its tasks do not run (SIGSTOP, a paused machine); what it started goes on.
    Stopped,
    Dead,
}

#[derive(Debug, Default)]
struct Known {
    worker: Option<WorkerId>,
    acknowledged_at: Option<Instant>,
    trouble_at: Option<Instant>,
    cut_until: Option<Instant>,
    slow_until: Option<Instant>,
}

/// A life.
#[derive(Debug)]
pub(crate) struct Life {
    /// Node and number, for people.
    pub(crate) name: String,
    condition: watch::Sender<Condition>,
    known: Mutex<Known>,
}

impl Life {
    pub(crate) fn new(name: String) -> Self {
        Self { name, condition: watch::Sender::new(Condition::Running), known: Mutex::default() }
    }

    /// Waits while the process is stopped, and for ever once it is dead.
    pub(crate) async fn running(&self) {
        let mut condition = self.condition.subscribe();
        let _ = condition.wait_for(|condition| *condition == Condition::Running).await;
    }

    /// Waits for the death of the process.
    pub(crate) async fn dead(&self) {
        let mut condition = self.condition.subscribe();
        let _ = condition.wait_for(|condition| *condition == Condition::Dead).await;
    }

    pub(crate) fn is_running(&self) -> bool {
        *self.condition.borrow() == Condition::Running
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.condition.borrow() == Condition::Dead
    }

    pub(crate) fn kill(&self) {
        self.condition.send_replace(Condition::Dead);
    }

    pub(crate) fn stop(&self) {
        self.become_unless_dead(Condition::Stopped);
    }

    pub(crate) fn go_on(&self) {
        self.become_unless_dead(Condition::Running);
    }

    fn become_unless_dead(&self, next: Condition) {
        self.condition.send_if_modified(|condition| {
            let may = *condition != Condition::Dead;
            if may {
                *condition = next;
            }
            may
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap())
    }

    /// Cuts the network to the store.
    pub(crate) fn cut(&self, until: Option<Instant>) {
        self.with(|known| known.cut_until = until);
    }

    /// Answers of the store take seconds for a while, as they do before a network breaks.
    pub(crate) fn slow_down(&self, until: Instant) {
        self.with(|known| known.slow_until = Some(until));
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.with(|known| known.slow_until).is_some_and(|until| until > Instant::now())
    }

    /// Until when the network to the store is cut, if it is.
    pub(crate) fn cut_until(&self) -> Option<Instant> {
        self.with(|known| known.cut_until).filter(|until| *until > Instant::now())
    }

    /// The store has registered the process as this worker.
    pub(crate) fn registered(&self, worker: WorkerId) {
        self.with(|known| known.worker = Some(worker));
    }

    /// The worker that the process is, by its last registration that was carried out.
    pub(crate) fn worker(&self) -> Option<WorkerId> {
        self.with(|known| known.worker.clone())
    }

    /// The process learned that a renewal, or its registration, sent at this moment was carried out.
    pub(crate) fn acknowledged(&self, sent_at: Instant) {
        self.with(|known| known.acknowledged_at = known.acknowledged_at.max(Some(sent_at)));
    }

    /// Whether the process may still believe in its lease, with some time more to act on it.
    pub(crate) fn may_believe(&self, fence: Duration) -> bool {
        self.with(|known| known.acknowledged_at).is_none_or(|at| at.elapsed() <= fence)
    }

    /// A call about leases was not answered.
    pub(crate) fn in_trouble(&self) {
        self.with(|known| known.trouble_at = Some(Instant::now()));
    }

    /// When one was not answered last.
    pub(crate) fn trouble_at(&self) -> Option<Instant> {
        self.with(|known| known.trouble_at)
    }
}
