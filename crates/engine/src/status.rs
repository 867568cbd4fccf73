//! How the engine stands, for whoever asks about its health. Nothing here decides anything.

use std::sync::Mutex;

use keywright_domain::{Timestamp, WorkerId};

/// How an engine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// The present life of its worker; none before the database answered for the first time, between two lives, and when the
    /// process is neither worker nor scheduler.
    pub worker: Option<WorkerId>,
    /// Whether it has ended everything because its lease could not be renewed in time, and has no new life yet.
    pub is_fenced: bool,
    /// Whether it has the scheduler's seat.
    pub is_scheduler: bool,
    /// Runs it leads at most.
    pub places: usize,
    /// Of these, how many are free.
    pub places_free: usize,
    /// Whether it has stopped taking runs for good.
    pub is_draining: bool,
    /// Attempts in a row that could not be started by a fault of this machine.
    pub start_failures: u32,
    /// Whether it takes no runs because of them, but for a trial now and then.
    pub is_unfit: bool,
    /// Since when the database has not answered, by this machine's clock; none while it does.
    pub store_trouble_since: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Known {
    worker: Option<WorkerId>,
    is_fenced: bool,
    is_scheduler: bool,
    trouble_since: Option<Timestamp>,
}

/// What the lives of the worker say about themselves.
#[derive(Debug, Default)]
pub(crate) struct Status(Mutex<Known>);

impl Status {
    /// A life has begun.
    pub(crate) fn begun(&self, worker: WorkerId) {
        self.with(|known| *known = Known { worker: Some(worker), ..Known::default() });
    }

    /// The life is over, perhaps because it was fenced.
    pub(crate) fn ended(&self, is_fenced: bool) {
        self.with(|known| {
            known.worker = None;
            known.is_fenced = is_fenced;
            known.is_scheduler = false;
        });
    }

    /// Whether the seat is this worker's.
    pub(crate) fn seated(&self, is_scheduler: bool) {
        self.with(|known| known.is_scheduler = is_scheduler);
    }

    /// The database answered.
    pub(crate) fn answered(&self) {
        self.with(|known| known.trouble_since = None);
    }

    /// The database did not answer at this moment.
    pub(crate) fn unanswered(&self, now: Timestamp) {
        self.with(|known| {
            known.trouble_since.get_or_insert(now);
        });
    }

    /// Fills in what the lives know.
    pub(crate) fn fill(&self, status: EngineStatus) -> EngineStatus {
        self.with(|known| EngineStatus {
            worker: known.worker.clone(),
            is_fenced: known.is_fenced,
            is_scheduler: known.is_scheduler,
            store_trouble_since: known.trouble_since,
            ..status
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().expect("no thread panics while it holds this lock"))
    }
}
