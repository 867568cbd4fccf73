//! A row of `attempts`, and the columns that an attempt's end is written to.

use keywright_domain::{AttemptFailure, Stage, WorkerId};

use super::{Columns, Fields};
use crate::forms::{FailureForm, failure_json};
use crate::halt::Halt;
use crate::{AttemptOutcome, AttemptRecord, BlobKey, TraceStatus};

/// What is said of a trace whose worker is gone.
pub(crate) const TRACE_LOST: &str = "the worker was lost before the trace was cleaned";

/// Reads an attempt. The row names itself in a column `attempt_id`.
pub(crate) fn read_attempt(row: &dyn Columns) -> Result<AttemptRecord, Halt> {
    let fields = Fields::new(row, "attempts", "attempt_id")?;
    Ok(AttemptRecord {
        number: fields.attempt_number("number")?,
        stage: fields.one_of("stage", Stage::from_stored)?,
        worker: fields.parse("worker_id", WorkerId::parse)?,
        outcome: match fields.text_optional("outcome")?.as_deref() {
            None => None,
            Some("succeeded") => Some(AttemptOutcome::Succeeded),
            Some("failed") => {
                let form: FailureForm = fields.json("failure")?;
                let failure = AttemptFailure::try_from(form).map_err(|why| fields.corrupt("failure", why))?;
                Some(AttemptOutcome::Failed(failure))
            }
            Some("aborted") => Some(AttemptOutcome::Aborted),
            Some(other) => return Err(fields.corrupt("outcome", format!("{other} is none"))),
        },
        started_at: fields.timestamp("started_at")?,
        ended_at: fields.timestamp_optional("ended_at")?,
        log_blob: fields.parse_optional("log_blob", BlobKey::parse)?,
        trace: match fields.text("trace")?.as_str() {
            "none" => TraceStatus::None,
            "pending" => TraceStatus::Pending,
            "stored" => TraceStatus::Stored(fields.parse("trace_note", BlobKey::parse)?),
            "dropped" => TraceStatus::Dropped(fields.text("trace_note")?),
            other => return Err(fields.corrupt("trace", format!("{other} is none"))),
        },
    })
}

/// The stored form of how an attempt ended, with its failure where it failed.
pub(crate) fn outcome_columns(outcome: &AttemptOutcome) -> (&'static str, Option<String>) {
    match outcome {
        AttemptOutcome::Succeeded => ("succeeded", None),
        AttemptOutcome::Failed(failure) => ("failed", Some(failure_json(failure))),
        AttemptOutcome::Aborted => ("aborted", None),
    }
}
