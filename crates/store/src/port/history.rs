//! History: what happened to a run, step by step, and how long it is remembered.
//!
//! Every write that changes a run appends one event in the same transaction; events are never changed, and go only together
//! with their run. What is not kept any longer is removed in small batches: its row first, with a note of the blobs it
//! leaves, and the blobs after. If the process dies in between, the notes are still there.

use async_trait::async_trait;
use keywright_domain::{AttemptNumber, Epoch, ProjectId, RetentionPolicy, RunId, Timestamp, WorkerId, WorkspaceId};

use crate::{BlobKey, Held, StoreError};

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunEventKind {
    /// It was accepted.
    Accepted,
    /// A worker took it.
    Claimed,
    /// Its worker handed it back.
    Released,
    /// Its worker was lost or has ended, and it was freed.
    Rescued,
    /// An attempt was used up; the detail is its stage.
    AttemptBegun,
    /// An attempt ended; the detail is how: `succeeded`, `failed` or `aborted`.
    AttemptEnded,
    /// It reached another state; the detail is the state, or `started/` and the stage.
    Moved,
}

impl RunEventKind {
    const ALL: [Self; 7] =
        [Self::Accepted, Self::Claimed, Self::Released, Self::Rescued, Self::AttemptBegun, Self::AttemptEnded, Self::Moved];

    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Claimed => "claimed",
            Self::Released => "released",
            Self::Rescued => "rescued",
            Self::AttemptBegun => "attempt-begun",
            Self::AttemptEnded => "attempt-ended",
            Self::Moved => "moved",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEventRecord {
    /// When, by the database's clock.
    pub at: Timestamp,
    /// What.
    pub kind: RunEventKind,
    /// The run's epoch after it.
    pub epoch: Epoch,
    /// The worker that held the run, where one did.
    pub worker: Option<WorkerId>,
    /// The attempt, for events of one.
    pub attempt: Option<AttemptNumber>,
    /// What the kind says.
    pub detail: Option<String>,
}

/// What one batch removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Runs, with everything of theirs.
    pub runs: u64,
    /// Logs, traces and files.
    pub artifacts: u64,
    /// Dead workers that nothing names any more.
    pub workers: u64,
}

impl Expired {
    /// Whether nothing was old enough.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.runs == 0 && self.artifacts == 0 && self.workers == 0
    }
}

/// A blob that no row names any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GarbageBlob {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which.
    pub key: BlobKey,
}

/// Reading and shortening history.
#[async_trait]
pub trait History {
    /// The newest events of a run of this project, at most `limit`, oldest first; nothing if there is no such run.
    async fn list_run_events(
        &self,
        project: &ProjectId,
        run: &RunId,
        limit: u32,
    ) -> Result<Option<Vec<RunEventRecord>>, StoreError>;

    /// Removes up to `limit` of each kind of thing that the policy does not keep: runs that ended too long ago, artifacts
    /// that are too old or too many for their project. The rows go, and their blobs become garbage, in one transaction.
    /// Nothing when the lease under which this is done is not held any more.
    async fn expire_history(&self, under: &Held, policy: &RetentionPolicy, limit: u32) -> Result<Option<Expired>, StoreError>;

    /// Up to `limit` blobs to be removed.
    async fn list_garbage(&self, limit: u32) -> Result<Vec<GarbageBlob>, StoreError>;

    /// Forgets garbage whose blobs were removed.
    async fn forget_garbage(&self, removed: &[GarbageBlob]) -> Result<(), StoreError>;
}
