//! Workers: who is alive, and what the lost ones held.
//!
//! Everything a worker holds (runs, builds, the scheduler's seat) it holds under the one lease of its row, so that renewing
//! costs one small write however much it holds. A worker whose lease has lapsed may still renew it; once it was given up its
//! id is worth nothing any more, and it has to begin a new life under a new one.

use async_trait::async_trait;
use keywright_domain::{NodeId, Timestamp, WorkerId, WorkerLabels};

use crate::{Held, StoreError};

/// Whose earlier lives a new worker knows to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supersedes {
    /// Those that used the same data folder on the same host: the folder's lock is ours now.
    EarlierLivesOfNode,
    /// Everybody: the database itself is ours alone.
    Everybody,
}

/// A worker that begins.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// This life.
    pub id: WorkerId,
    /// Its data folder.
    pub node: NodeId,
    /// The name of its machine.
    pub host: String,
    /// What it offers.
    pub labels: WorkerLabels,
    /// Attempts it runs at once; 0 when it only schedules.
    pub capacity: u32,
    /// The version of the program.
    pub version: String,
    /// Whose earlier lives are over.
    pub supersedes: Supersedes,
    /// How long its lease lasts, milliseconds.
    pub ttl_ms: u32,
}

/// What was freed of workers that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Workers.
    pub workers: u64,
    /// Runs, which can be taken again; an attempt that was open stays open until then.
    pub runs: u64,
    /// Builds, which wait again.
    pub builds: u64,
    /// Traces that will not be cleaned any more and were marked as dropped.
    pub traces: u64,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease lasts for another TTL.
    Renewed {
        /// What the database's clock says.
        database_now: Timestamp,
    },
    /// The worker was given up; what it held is others'.
    Gone,
}

/// How a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerStatus {
    /// It renews its lease, or could still.
    Live,
    /// It was given up.
    Lost,
    /// It ended in order.
    Retired,
}

impl WorkerStatus {
    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Lost => "lost",
            Self::Retired => "retired",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Live, Self::Lost, Self::Retired].into_iter().find(|status| status.as_str() == text)
    }
}

/// A worker as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRecord {
    /// This life.
    pub id: WorkerId,
    /// Its data folder.
    pub node: NodeId,
    /// The name of its machine.
    pub host: String,
    /// What it offers.
    pub labels: WorkerLabels,
    /// Attempts it runs at once.
    pub capacity: u32,
    /// The version of its program.
    pub version: String,
    /// How it stands.
    pub status: WorkerStatus,
    /// When it began.
    pub started_at: Timestamp,
    /// Until when its lease lasts, by the database's clock.
    pub lease_until: Timestamp,
    /// Runs it holds now.
    pub runs: u64,
}

/// The registry of workers.
#[async_trait]
pub trait Workers {
    /// Begins a worker's life and frees what superseded lives held.
    async fn register_worker(&self, new: NewWorker) -> Result<Rescued, StoreError>;

    /// Renews a worker's lease, lapsed or not, unless it was given up.
    async fn renew_worker(&self, id: &WorkerId, ttl_ms: u32) -> Result<Renewal, StoreError>;

    /// Ends a worker's life in order. What it still holds is freed.
    async fn retire_worker(&self, id: &WorkerId) -> Result<Rescued, StoreError>;

    /// Gives up to `limit` workers up whose leases have lapsed, and frees what they held. Nothing when the lease under which
    /// this is done is not held any more.
    async fn rescue_workers(&self, under: &Held, limit: u32) -> Result<Option<Rescued>, StoreError>;

    /// The live workers and the newest of the others, newest first, at most `limit`.
    async fn list_workers(&self, limit: u32) -> Result<Vec<WorkerRecord>, StoreError>;
}
