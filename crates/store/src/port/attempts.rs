//! Attempts: their rows are made by [`crate::Runs::begin_attempt`] and closed by [`crate::Runs::commit_run`].

use async_trait::async_trait;
use keywright_domain::{AttemptFailure, AttemptNumber, ProjectId, RunId, Stage, Timestamp, WorkerId};

use crate::{BlobKey, StoreError};

/// How an attempt ended, without what it produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// As it should.
    Succeeded,
    /// Not as it should.
    Failed(AttemptFailure),
    /// Its run was canceled.
    Aborted,
}

/// A blob that was stored, with the bytes it counts for in its project's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Where it lies.
    pub key: BlobKey,
    /// How large it is, unsealed.
    pub size_bytes: u64,
}

/// What to write when an attempt ends.
#[derive(Clone, Debug)]
pub struct AttemptClose {
    /// Which.
    pub number: AttemptNumber,
    /// How.
    pub outcome: AttemptOutcome,
    /// Its log, where there is one.
    pub log: Option<StoredBlob>,
    /// Whether a trace is on its way.
    pub is_trace_pending: bool,
}

/// Where a trace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceStatus {
    /// None was asked for, or none was made.
    None,
    /// Being cleaned of secrets.
    Pending,
    /// Stored.
    Stored(BlobKey),
    /// Not stored, with the reason for a person.
    Dropped(String),
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its number in the run.
    pub number: AttemptNumber,
    /// What it was for.
    pub stage: Stage,
    /// The worker that made it.
    pub worker: WorkerId,
    /// How it ended; none while it runs.
    pub outcome: Option<AttemptOutcome>,
    /// When user code was allowed to start.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where its log lies.
    pub log_blob: Option<BlobKey>,
    /// Where its trace is.
    pub trace: TraceStatus,
}

/// Reading attempts, and filing their traces once they are clean.
#[async_trait]
pub trait Attempts {
    /// The attempts of a run of this project, in order; nothing if there is no such run.
    async fn list_attempts(&self, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, StoreError>;

    /// Says where an attempt's log lies, when that was not said as it was closed: a canceled attempt is closed before it has
    /// stopped writing.
    async fn file_log(&self, run: &RunId, number: AttemptNumber, log: StoredBlob) -> Result<(), StoreError>;

    /// Says that an attempt's trace was stored.
    async fn file_trace(&self, run: &RunId, number: AttemptNumber, trace: StoredBlob) -> Result<(), StoreError>;

    /// Says that an attempt's trace was not stored, and why.
    async fn drop_trace(&self, run: &RunId, number: AttemptNumber, reason: &str) -> Result<(), StoreError>;
}
