//! A row of `run_events`, an event to be appended, and the words in which artifacts are stored.

use keywright_domain::{AttemptNumber, RunState, WorkerId, WorkspaceId};

use super::{Columns, Fields};
use crate::halt::Halt;
use crate::{AttemptOutcome, BlobKey, GarbageBlob, RunEventKind, RunEventRecord};

/// What is said of a trace that is not kept any longer.
pub(crate) const TRACE_EXPIRED: &str = "it was not kept any longer";

/// An event to be appended to a run's; when, and the run's epoch after it, are added where it is written.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) kind: RunEventKind,
    /// The worker that held the run.
    pub(crate) worker: Option<&'a WorkerId>,
    pub(crate) attempt: Option<AttemptNumber>,
    pub(crate) detail: Option<&'static str>,
}

impl<'a> NewEvent<'a> {
    /// The end of an attempt.
    pub(crate) const fn attempt_ended(worker: Option<&'a WorkerId>, attempt: AttemptNumber, outcome: &AttemptOutcome) -> Self {
        let detail = match outcome {
            AttemptOutcome::Succeeded => "succeeded",
            AttemptOutcome::Failed(_) => "failed",
            AttemptOutcome::Aborted => "aborted",
        };
        Self { kind: RunEventKind::AttemptEnded, worker, attempt: Some(attempt), detail: Some(detail) }
    }

    /// The step from one state to another; none when they look the same from outside.
    pub(crate) fn moved(worker: Option<&'a WorkerId>, from: &RunState, to: &RunState) -> Option<Self> {
        let detail = position(to);
        let has_moved = position(from) != detail;
        has_moved.then_some(Self { kind: RunEventKind::Moved, worker, attempt: None, detail: Some(detail) })
    }
}

/// Where a run stands, in the words of the event that brought it there.
const fn position(state: &RunState) -> &'static str {
    use keywright_domain::Stage;
    match state {
        RunState::Started(progress) => match progress.stage {
            Stage::Check => "started/check",
            Stage::Create => "started/create",
            Stage::PostCheck => "started/post-check",
            Stage::Api => "started/api",
        },
        RunState::Pending | RunState::Completed | RunState::Failed(_) | RunState::Canceled(_) => state.as_str(),
    }
}

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArtifactKind {
    /// The log of an attempt.
    Log,
    /// The trace of an attempt.
    Trace,
    /// A file that user code stored.
    File,
}

impl ArtifactKind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Log, Self::Trace, Self::File];

    /// The stored form.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Trace => "trace",
            Self::File => "file",
        }
    }

    /// Reads the stored form.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Reads an event.
pub(crate) fn read_event(row: &dyn Columns) -> Result<RunEventRecord, Halt> {
    let fields = Fields::new(row, "run_events", "run_id")?;
    Ok(RunEventRecord {
        at: fields.timestamp("at")?,
        kind: fields.one_of("kind", RunEventKind::from_stored)?,
        epoch: fields.epoch("epoch")?,
        worker: fields.parse_optional("worker_id", WorkerId::parse)?,
        attempt: fields.attempt_number_optional("attempt")?,
        detail: fields.text_optional("detail")?,
    })
}

/// Reads a piece of garbage.
pub(crate) fn read_garbage(row: &dyn Columns) -> Result<GarbageBlob, Halt> {
    let fields = Fields::new(row, "blob_garbage", "blob")?;
    Ok(GarbageBlob { workspace: fields.parse("workspace_id", WorkspaceId::parse)?, key: fields.parse("blob", BlobKey::parse)? })
}
