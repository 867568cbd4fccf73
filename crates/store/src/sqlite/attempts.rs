//! Attempts as rows: read, closed, and told where their logs and traces ended up. They are begun in [`super::runs`].

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{AttemptNumber, ProjectId, RunId, Timestamp, WorkerId};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::history::{append_event, file_artifact, remove_artifact};
use crate::halt::{Halt, InMethod as _};
use crate::row::Fields;
use crate::row::attempts::{outcome_columns, read_attempt};
use crate::row::history::{ArtifactKind, NewEvent};
use crate::{AttemptClose, AttemptOutcome, AttemptRecord, Attempts, StoreError, StoredBlob};

#[async_trait]
impl Attempts for SqliteStore {
    async fn list_attempts(&self, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, StoreError> {
        list(&self.readers, project, run).await.in_method("list_attempts")
    }

    async fn file_log(&self, run: &RunId, number: AttemptNumber, log: StoredBlob) -> Result<(), StoreError> {
        let run = run.clone();
        self.write("file_log", move |tx, now| file_log(tx, run, number, log, now).boxed()).await
    }

    async fn file_trace(&self, run: &RunId, number: AttemptNumber, trace: StoredBlob) -> Result<(), StoreError> {
        let run = run.clone();
        self.write("file_trace", move |tx, now| file_trace(tx, run, number, trace, now).boxed()).await
    }

    async fn drop_trace(&self, run: &RunId, number: AttemptNumber, reason: &str) -> Result<(), StoreError> {
        let (run, reason) = (run.clone(), reason.to_owned());
        self.write("drop_trace", move |tx, _| drop_trace(tx, run, number, reason).boxed()).await
    }
}

async fn list(readers: &SqlitePool, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, Halt> {
    let mut reading = readers.begin().await?;
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM runs WHERE project_id = $1 AND id = $2)")
        .bind(project.as_str())
        .bind(run.as_str())
        .fetch_one(&mut *reading)
        .await?;
    if !is_there {
        return Ok(None);
    }
    let rows = sqlx::query("SELECT *, run_id || '.' || number AS attempt_id FROM attempts WHERE run_id = $1 ORDER BY number")
        .bind(run.as_str())
        .fetch_all(&mut *reading)
        .await?;
    rows.iter().map(|row| read_attempt(row)).collect::<Result<_, _>>().map(Some)
}

const NO_SUCH_ATTEMPT: Halt = Halt::Misuse("there is no such attempt");

/// Filing the same log twice is filing it once; another log takes the place of the first.
async fn file_log(
    tx: &mut SqliteConnection,
    run: RunId,
    number: AttemptNumber,
    log: StoredBlob,
    now: Timestamp,
) -> Result<(), Halt> {
    let row = sqlx::query("SELECT run_id, log_blob FROM attempts WHERE run_id = $1 AND number = $2")
        .bind(run.as_str())
        .bind(number.get())
        .fetch_optional(&mut *tx)
        .await?;
    let row = row.ok_or(NO_SUCH_ATTEMPT)?;
    let earlier = Fields::new(&row, "attempts", "run_id")?.text_optional("log_blob")?;
    if !replaces(tx, earlier, &log).await? {
        return Ok(());
    }
    sqlx::query("UPDATE attempts SET log_blob = $3 WHERE run_id = $1 AND number = $2")
        .bind(run.as_str())
        .bind(number.get())
        .bind(log.key.as_str())
        .execute(&mut *tx)
        .await?;
    file_artifact(tx, ArtifactKind::Log, &run, number, &log, now).await
}

/// A trace that was given up because its worker seemed lost is welcome all the same.
async fn file_trace(
    tx: &mut SqliteConnection,
    run: RunId,
    number: AttemptNumber,
    trace: StoredBlob,
    now: Timestamp,
) -> Result<(), Halt> {
    let row = sqlx::query(
        "SELECT run_id, CASE WHEN trace = 'stored' THEN trace_note END AS earlier FROM attempts WHERE run_id = $1 AND number = $2",
    )
    .bind(run.as_str())
    .bind(number.get())
    .fetch_optional(&mut *tx)
    .await?;
    let row = row.ok_or(NO_SUCH_ATTEMPT)?;
    let earlier = Fields::new(&row, "attempts", "run_id")?.text_optional("earlier")?;
    if !replaces(tx, earlier, &trace).await? {
        return Ok(());
    }
    sqlx::query("UPDATE attempts SET trace = 'stored', trace_note = $3 WHERE run_id = $1 AND number = $2")
        .bind(run.as_str())
        .bind(number.get())
        .bind(trace.key.as_str())
        .execute(&mut *tx)
        .await?;
    file_artifact(tx, ArtifactKind::Trace, &run, number, &trace, now).await
}

/// Whether a blob is another than the one that was filed before, which becomes garbage then.
async fn replaces(tx: &mut SqliteConnection, earlier: Option<String>, blob: &StoredBlob) -> Result<bool, Halt> {
    match earlier {
        Some(earlier) if earlier == blob.key.as_str() => Ok(false),
        Some(earlier) => remove_artifact(tx, &earlier).await.map(|()| true),
        None => Ok(true),
    }
}

/// A trace that is stored stays stored.
async fn drop_trace(tx: &mut SqliteConnection, run: RunId, number: AttemptNumber, reason: String) -> Result<(), Halt> {
    let done = sqlx::query(
        "UPDATE attempts SET trace = CASE trace WHEN 'stored' THEN trace ELSE 'dropped' END,
                             trace_note = CASE trace WHEN 'stored' THEN trace_note ELSE $3 END
         WHERE run_id = $1 AND number = $2",
    )
    .bind(run.as_str())
    .bind(number.get())
    .bind(reason)
    .execute(tx)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(NO_SUCH_ATTEMPT) }
}

/// Closes an open attempt.
pub(super) async fn close(
    tx: &mut SqliteConnection,
    run: &RunId,
    worker: Option<&WorkerId>,
    close: &AttemptClose,
    now: Timestamp,
) -> Result<(), Halt> {
    let (outcome, failure) = outcome_columns(&close.outcome);
    let done = sqlx::query(
        "UPDATE attempts SET outcome = $3, failure = $4, log_blob = $5, trace = $6, ended_at = $7
         WHERE run_id = $1 AND number = $2 AND ended_at IS NULL",
    )
    .bind(run.as_str())
    .bind(close.number.get())
    .bind(outcome)
    .bind(failure)
    .bind(close.log.as_ref().map(|log| log.key.as_str()))
    .bind(if close.is_trace_pending { "pending" } else { "none" })
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() != 1 {
        return Err(Halt::Misuse("an attempt is closed that is not open"));
    }
    if let Some(log) = &close.log {
        file_artifact(tx, ArtifactKind::Log, run, close.number, log, now).await?;
    }
    append_event(tx, run, &NewEvent::attempt_ended(worker, close.number, &close.outcome), now).await
}

/// Closes whatever attempt of a run is open, as aborted.
pub(super) async fn abort_open(
    tx: &mut SqliteConnection,
    run: &RunId,
    worker: Option<&WorkerId>,
    now: Timestamp,
) -> Result<(), Halt> {
    let row = sqlx::query(
        "UPDATE attempts SET outcome = 'aborted', ended_at = $2 WHERE run_id = $1 AND ended_at IS NULL RETURNING run_id, number",
    )
    .bind(run.as_str())
    .bind(now.as_micros())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let number = Fields::new(&row, "attempts", "run_id")?.attempt_number("number")?;
    append_event(tx, run, &NewEvent::attempt_ended(worker, number, &AttemptOutcome::Aborted), now).await
}
