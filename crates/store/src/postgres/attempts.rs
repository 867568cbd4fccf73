//! Attempts as rows: read, closed, and told where their logs and traces ended up. They are begun in [`super::runs`].

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{AttemptNumber, ProjectId, RunId, WorkerId};

use super::PostgresStore;
use super::history::{append_event, file_artifact, remove_artifact};
use super::link::Link;
use super::pools::Lane;
use super::transaction::Tx;
use crate::halt::Halt;
use crate::row::Fields;
use crate::row::attempts::{outcome_columns, read_attempt};
use crate::row::history::{ArtifactKind, NewEvent};
use crate::{AttemptClose, AttemptOutcome, AttemptRecord, Attempts, StoreError, StoredBlob};

#[async_trait]
impl Attempts for PostgresStore {
    async fn list_attempts(&self, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, StoreError> {
        let input = (project.clone(), run.clone());
        self.read(Lane::Api, "list_attempts", input, |link, (project, run)| list(link, project, run).boxed()).await
    }

    async fn file_log(&self, run: &RunId, number: AttemptNumber, log: StoredBlob) -> Result<(), StoreError> {
        let input = (run.clone(), number, log);
        self.write(Lane::Engine, "file_log", input, |tx, (run, number, log)| file_log(tx, run, *number, log).boxed()).await
    }

    async fn file_trace(&self, run: &RunId, number: AttemptNumber, trace: StoredBlob) -> Result<(), StoreError> {
        let input = (run.clone(), number, trace);
        self.write(Lane::Engine, "file_trace", input, |tx, (run, number, trace)| file_trace(tx, run, *number, trace).boxed())
            .await
    }

    async fn drop_trace(&self, run: &RunId, number: AttemptNumber, reason: &str) -> Result<(), StoreError> {
        let input = (run.clone(), number, reason.to_owned());
        self.write(Lane::Engine, "drop_trace", input, |tx, (run, number, reason)| drop_trace(tx, run, *number, reason).boxed())
            .await
    }
}

async fn list(link: &mut Link, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, Halt> {
    // The run's own row comes along, so that a run without attempts is told from no run by one statement.
    let statement = sqlx::query(
        "SELECT a.*, a.run_id || '.' || a.number AS attempt_id, a.run_id IS NOT NULL AS is_attempt
         FROM runs r LEFT JOIN attempts a ON a.run_id = r.id WHERE r.project_id = $1 AND r.id = $2 ORDER BY a.number",
    )
    .bind(project.as_str())
    .bind(run.as_str());
    let rows = link.read_all(statement).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut attempts = Vec::with_capacity(rows.len());
    for row in &rows {
        if Fields::new(row, "attempts", "attempt_id")?.flag("is_attempt")? {
            attempts.push(read_attempt(row)?);
        }
    }
    Ok(Some(attempts))
}

const NO_SUCH_ATTEMPT: Halt = Halt::Misuse("there is no such attempt");

/// Filing the same log twice is filing it once; another log takes the place of the first.
async fn file_log(tx: &mut Tx, run: &RunId, number: AttemptNumber, log: &StoredBlob) -> Result<(), Halt> {
    let statement =
        sqlx::query("SELECT run_id, log_blob AS earlier FROM attempts WHERE run_id = $1 AND number = $2 FOR NO KEY UPDATE")
            .bind(run.as_str())
            .bind(i64::from(number.get()));
    let row = tx.read_optional(statement).await?.ok_or(NO_SUCH_ATTEMPT)?;
    let earlier = Fields::new(&row, "attempts", "run_id")?.text_optional("earlier")?;
    if !replaces(tx, earlier, log).await? {
        return Ok(());
    }
    let statement = sqlx::query("UPDATE attempts SET log_blob = $3 WHERE run_id = $1 AND number = $2")
        .bind(run.as_str())
        .bind(i64::from(number.get()))
        .bind(log.key.as_str());
    tx.change(statement).await?;
    file_artifact(tx, ArtifactKind::Log, run, number, log).await
}

/// A trace that was given up because its worker seemed lost is welcome all the same.
async fn file_trace(tx: &mut Tx, run: &RunId, number: AttemptNumber, trace: &StoredBlob) -> Result<(), Halt> {
    let statement = sqlx::query(
        "SELECT run_id, CASE WHEN trace = 'stored' THEN trace_note END AS earlier
         FROM attempts WHERE run_id = $1 AND number = $2 FOR NO KEY UPDATE",
    )
    .bind(run.as_str())
    .bind(i64::from(number.get()));
    let row = tx.read_optional(statement).await?.ok_or(NO_SUCH_ATTEMPT)?;
    let earlier = Fields::new(&row, "attempts", "run_id")?.text_optional("earlier")?;
    if !replaces(tx, earlier, trace).await? {
        return Ok(());
    }
    let statement = sqlx::query("UPDATE attempts SET trace = 'stored', trace_note = $3 WHERE run_id = $1 AND number = $2")
        .bind(run.as_str())
        .bind(i64::from(number.get()))
        .bind(trace.key.as_str());
    tx.change(statement).await?;
    file_artifact(tx, ArtifactKind::Trace, run, number, trace).await
}

/// Whether a blob is another than the one that was filed before, which becomes garbage then.
async fn replaces(tx: &mut Tx, earlier: Option<String>, blob: &StoredBlob) -> Result<bool, Halt> {
    match earlier {
        Some(earlier) if earlier == blob.key.as_str() => Ok(false),
        Some(earlier) => remove_artifact(tx, &earlier).await.map(|()| true),
        None => Ok(true),
    }
}

/// A trace that is stored stays stored.
async fn drop_trace(tx: &mut Tx, run: &RunId, number: AttemptNumber, reason: &str) -> Result<(), Halt> {
    let statement = sqlx::query(
        "UPDATE attempts SET trace = CASE trace WHEN 'stored' THEN trace ELSE 'dropped' END,
                             trace_note = CASE trace WHEN 'stored' THEN trace_note ELSE $3 END
         WHERE run_id = $1 AND number = $2",
    )
    .bind(run.as_str())
    .bind(i64::from(number.get()))
    .bind(reason.to_owned());
    if tx.change(statement).await? == 1 { Ok(()) } else { Err(NO_SUCH_ATTEMPT) }
}

/// Closes an open attempt. Its run's row is locked.
pub(super) async fn close(tx: &mut Tx, run: &RunId, worker: Option<&WorkerId>, close: &AttemptClose) -> Result<(), Halt> {
    let (outcome, failure) = outcome_columns(&close.outcome);
    let statement = sqlx::query(
        "UPDATE attempts SET outcome = $3, failure = $4, log_blob = $5, trace = $6, ended_at = $7
         WHERE run_id = $1 AND number = $2 AND ended_at IS NULL",
    )
    .bind(run.as_str())
    .bind(i64::from(close.number.get()))
    .bind(outcome)
    .bind(failure)
    .bind(close.log.as_ref().map(|log| log.key.as_str()))
    .bind(if close.is_trace_pending { "pending" } else { "none" })
    .bind(tx.now.as_micros());
    if tx.change(statement).await? != 1 {
        return Err(Halt::Misuse("an attempt is closed that is not open"));
    }
    if let Some(log) = &close.log {
        file_artifact(tx, ArtifactKind::Log, run, close.number, log).await?;
    }
    append_event(tx, run, &NewEvent::attempt_ended(worker, close.number, &close.outcome)).await
}

/// Closes whatever attempt of a run is open, as aborted. The run's row is locked.
pub(super) async fn abort_open(tx: &mut Tx, run: &RunId, worker: Option<&WorkerId>) -> Result<(), Halt> {
    let statement = sqlx::query(
        "UPDATE attempts SET outcome = 'aborted', ended_at = $2 WHERE run_id = $1 AND ended_at IS NULL RETURNING run_id, number",
    )
    .bind(run.as_str())
    .bind(tx.now.as_micros());
    let Some(row) = tx.change_one(statement).await? else { return Ok(()) };
    let number = Fields::new(&row, "attempts", "run_id")?.attempt_number("number")?;
    append_event(tx, run, &NewEvent::attempt_ended(worker, number, &AttemptOutcome::Aborted)).await
}
