//! Cancellations: by somebody, by a deployment that switches access off, and of runs that were locked out of their session
//! for too long.
//!
//! A cancellation raises the epoch, so whatever a worker still does for the run changes nothing any more.

use keywright_domain::{ProjectId, RunEvent, RunId, RunReason, RunState};
use sqlx::postgres::PgRow;

use super::commit::apply;
use super::find_output;
use crate::forms::outcome_json;
use crate::halt::Halt;
use crate::postgres::leases::is_held;
use crate::postgres::locks::{lock_line_of, lock_lines, lock_lines_of_project};
use crate::postgres::transaction::Tx;
use crate::row::Fields;
use crate::row::runs::{Current, Kept, read_current};
use crate::{Held, RunEventKind, RunOutput, Vault};

/// Cancels one run of a project, unless it has ended.
pub(super) async fn cancel_run(
    tx: &mut Tx,
    vault: &Vault,
    project: &ProjectId,
    id: &RunId,
    reason: &RunReason,
) -> Result<Option<RunOutput>, Halt> {
    lock_line_of(tx, id).await?;
    let statement = sqlx::query("SELECT * FROM runs WHERE project_id = $1 AND id = $2 AND ended_at IS NULL FOR NO KEY UPDATE")
        .bind(project.as_str())
        .bind(id.as_str());
    if let Some(row) = tx.read_optional(statement).await? {
        stop(tx, vault, &read_current(&row)?, RunEvent::Cancel(reason)).await?;
    }
    find_output(tx, vault, project, id).await
}

/// Cancels every unfinished run of an API of a project.
pub(in crate::postgres) async fn cancel_unfinished_api_runs(
    tx: &mut Tx,
    vault: &Vault,
    project: &ProjectId,
    reason: &RunReason,
) -> Result<(), Halt> {
    tx.take_time().await?;
    lock_lines_of_project(tx, project).await?;
    cancel_queued(tx, project, reason).await?;
    let statement = sqlx::query(
        "SELECT * FROM runs WHERE project_id = $1 AND kind = 'api' AND ended_at IS NULL ORDER BY seq FOR NO KEY UPDATE",
    )
    .bind(project.as_str());
    let rows = tx.read_all(statement).await?;
    stop_all(tx, vault, &rows, RunEvent::Cancel(reason)).await
}

/// Cancels the runs of APIs of a project that have not begun and want no session, which may be very many: what [`stop`] does
/// to such a run, for all of them at once.
async fn cancel_queued(tx: &mut Tx, project: &ProjectId, reason: &RunReason) -> Result<(), Halt> {
    let canceled = RunState::Canceled(reason.clone());
    let statement = sqlx::query(
        "WITH stopped AS (
             UPDATE runs SET state = $2, outcome = $3, epoch = runs.epoch + 1, events = runs.events + 1,
                             input_sealed = NULL, proxy_sealed = NULL, owner = NULL, claimed_at = NULL, ended_at = $4
             FROM runs before
             WHERE before.seq = runs.seq AND runs.project_id = $1 AND runs.ended_at IS NULL AND runs.kind = 'api'
             AND runs.state = 'pending' AND runs.session_key IS NULL AND runs.attempts = 0
             RETURNING runs.id, runs.events, runs.epoch, before.owner
         )
         INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id, detail)
         SELECT id, events, $4, $5, epoch, owner, $2 FROM stopped",
    )
    .bind(project.as_str())
    .bind(canceled.as_str())
    .bind(outcome_json(&canceled))
    .bind(tx.now.as_micros())
    .bind(RunEventKind::Moved.as_str());
    tx.change(statement).await?;
    Ok(())
}

/// Cancels runs that one other run has kept from their session for longer than they may wait.
pub(super) async fn cancel_locked_out(tx: &mut Tx, vault: &Vault, under: &Held, limit: u32) -> Result<Option<u64>, Halt> {
    if !is_held(tx, under).await? {
        return Ok(None);
    }
    let statement = sqlx::query(
        // The few runs that hold a session are looked at first, and the lines behind them; any other order reads every run.
        "WITH holders AS MATERIALIZED (
             SELECT session_key, seq, claimed_at FROM runs WHERE owner IS NOT NULL AND holds_session
         ), locked_out AS MATERIALIZED (
             SELECT r.id, r.session_key, r.seq FROM holders CROSS JOIN LATERAL (
                 SELECT id, session_key, seq, created_at, timeout_s FROM runs
                 WHERE session_key = holders.session_key AND ended_at IS NULL AND holds_session
                 AND seq > holders.seq AND state = 'pending' AND NOT has_turn
             ) AS r
             WHERE $1 - greatest(r.created_at, holders.claimed_at) > r.timeout_s * 1000000
         )
         SELECT id, session_key FROM locked_out ORDER BY seq LIMIT $2",
    )
    .bind(tx.now.as_micros())
    .bind(i64::from(limit));
    let (mut runs, mut sessions) = (Vec::new(), Vec::new());
    for row in tx.read_all(statement).await? {
        let fields = Fields::new(&row, "runs", "id")?;
        runs.push(fields.text("id")?);
        sessions.push(fields.text("session_key")?);
    }
    if runs.is_empty() {
        return Ok(Some(0));
    }
    lock_lines(tx, sessions).await?;
    // Whoever had the session may have let go of it before the lines were locked.
    let statement = sqlx::query(
        "SELECT * FROM runs WHERE id = ANY ($1) AND ended_at IS NULL AND NOT has_turn ORDER BY seq FOR NO KEY UPDATE",
    )
    .bind(runs);
    let rows = tx.read_all(statement).await?;
    stop_all(tx, vault, &rows, RunEvent::SessionLocked).await?;
    Ok(Some(rows.len() as u64))
}

async fn stop_all(tx: &mut Tx, vault: &Vault, rows: &[PgRow], event: RunEvent<'_>) -> Result<(), Halt> {
    for row in rows {
        stop(tx, vault, &read_current(row)?, event).await?;
    }
    Ok(())
}

/// Stops a run, whose line and row are locked.
async fn stop(tx: &mut Tx, vault: &Vault, run: &Current, event: RunEvent<'_>) -> Result<(), Halt> {
    let transition = run.state.clone().on(&run.plan, event).map_err(|_| Halt::Misuse("a run was stopped that cannot be"))?;
    tx.change(sqlx::query("UPDATE runs SET epoch = epoch + 1 WHERE id = $1").bind(run.id.as_str())).await?;
    apply(tx, vault, run, &transition.state, &transition.effects, Kept::default()).await
}
