//! Attempts as rows: read, closed, and told where their traces ended up. They are begun in [`super::runs`].

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{AttemptFailure, AttemptNumber, ProjectId, RunId, Stage, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::forms::{FailureForm, failure_json};
use super::halt::{Halt, InMethod as _};
use super::row::Fields;
use crate::{AttemptClose, AttemptOutcome, AttemptRecord, Attempts, BlobKey, StoreError, TraceStatus};

#[async_trait]
impl Attempts for SqliteStore {
    async fn list_attempts(&self, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, StoreError> {
        list(&self.readers, project, run).await.in_method("list_attempts")
    }

    async fn file_log(&self, run: &RunId, number: AttemptNumber, blob: BlobKey) -> Result<(), StoreError> {
        let run = run.clone();
        self.write("file_log", move |tx| file_log(tx, run, number, blob).boxed()).await
    }

    async fn file_trace(&self, run: &RunId, number: AttemptNumber, trace: TraceStatus) -> Result<(), StoreError> {
        let run = run.clone();
        self.write("file_trace", move |tx| file_trace(tx, run, number, trace).boxed()).await
    }

    async fn drop_pending_traces(&self, reason: &str) -> Result<u64, StoreError> {
        let reason = reason.to_owned();
        self.write("drop_pending_traces", move |tx| drop_pending_traces(tx, reason).boxed()).await
    }
}

async fn list(readers: &SqlitePool, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, Halt> {
    // A run never goes away, so it is the same one in both statements.
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM runs WHERE project_id = $1 AND id = $2)")
        .bind(project.as_str())
        .bind(run.as_str())
        .fetch_one(readers)
        .await?;
    if !is_there {
        return Ok(None);
    }
    let rows = sqlx::query("SELECT *, run_id || '.' || number AS attempt_id FROM attempts WHERE run_id = $1 ORDER BY number")
        .bind(run.as_str())
        .fetch_all(readers)
        .await?;
    rows.iter().map(read_attempt).collect::<Result<_, _>>().map(Some)
}

async fn file_log(tx: &mut SqliteConnection, run: RunId, number: AttemptNumber, blob: BlobKey) -> Result<(), Halt> {
    let done = sqlx::query("UPDATE attempts SET log_blob = $3 WHERE run_id = $1 AND number = $2")
        .bind(run.as_str())
        .bind(number.get())
        .bind(blob.as_str())
        .execute(tx)
        .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(NO_SUCH_ATTEMPT) }
}

async fn file_trace(tx: &mut SqliteConnection, run: RunId, number: AttemptNumber, trace: TraceStatus) -> Result<(), Halt> {
    let (status, note) = match &trace {
        TraceStatus::None => ("none", None),
        TraceStatus::Pending => ("pending", None),
        TraceStatus::Stored(blob) => ("stored", Some(blob.as_str())),
        TraceStatus::Dropped(reason) => ("dropped", Some(reason.as_str())),
    };
    let done = sqlx::query("UPDATE attempts SET trace = $3, trace_note = $4 WHERE run_id = $1 AND number = $2")
        .bind(run.as_str())
        .bind(number.get())
        .bind(status)
        .bind(note)
        .execute(tx)
        .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(NO_SUCH_ATTEMPT) }
}

const NO_SUCH_ATTEMPT: Halt = Halt::Misuse("there is no such attempt");

async fn drop_pending_traces(tx: &mut SqliteConnection, reason: String) -> Result<u64, Halt> {
    let done = sqlx::query("UPDATE attempts SET trace = 'dropped', trace_note = $1 WHERE trace = 'pending'")
        .bind(reason)
        .execute(tx)
        .await?;
    Ok(done.rows_affected())
}

/// Closes an open attempt.
pub(super) async fn close(tx: &mut SqliteConnection, run: &RunId, close: &AttemptClose, now: Timestamp) -> Result<(), Halt> {
    let (outcome, failure) = match &close.outcome {
        AttemptOutcome::Succeeded => ("succeeded", None),
        AttemptOutcome::Failed(failure) => ("failed", Some(failure_json(failure))),
        AttemptOutcome::Aborted => ("aborted", None),
    };
    let done = sqlx::query(
        "UPDATE attempts SET outcome = $3, failure = $4, log_blob = $5, trace = $6, ended_at = $7
         WHERE run_id = $1 AND number = $2 AND ended_at IS NULL",
    )
    .bind(run.as_str())
    .bind(close.number.get())
    .bind(outcome)
    .bind(failure)
    .bind(close.log_blob.as_ref().map(BlobKey::as_str))
    .bind(if close.is_trace_pending { "pending" } else { "none" })
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Halt::Misuse("an attempt is closed that is not open")) }
}

/// Closes whatever attempt of a run is open, as aborted.
pub(super) async fn abort_open(tx: &mut SqliteConnection, run: &RunId, now: Timestamp) -> Result<(), Halt> {
    sqlx::query("UPDATE attempts SET outcome = 'aborted', ended_at = $2 WHERE run_id = $1 AND ended_at IS NULL")
        .bind(run.as_str())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(())
}

fn read_attempt(row: &SqliteRow) -> Result<AttemptRecord, Halt> {
    let fields = Fields::new(row, "attempts", "attempt_id")?;
    let note = || fields.get::<Option<String>>("trace_note")?.ok_or_else(|| fields.corrupt("trace_note", "is missing"));
    Ok(AttemptRecord {
        number: AttemptNumber::new(fields.count("number")?).ok_or_else(|| fields.corrupt("number", "below 1"))?,
        stage: fields.one_of("stage", Stage::from_stored)?,
        outcome: match fields.get::<Option<String>>("outcome")?.as_deref() {
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
        trace: match fields.get::<String>("trace")?.as_str() {
            "none" => TraceStatus::None,
            "pending" => TraceStatus::Pending,
            "stored" => TraceStatus::Stored(fields.parse("trace_note", BlobKey::parse)?),
            "dropped" => TraceStatus::Dropped(note()?),
            other => return Err(fields.corrupt("trace", format!("{other} is none"))),
        },
    })
}
