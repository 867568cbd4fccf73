//! Cancellations: by somebody, by a deployment that switches access off, and of runs that were locked out of their session
//! for too long.
//!
//! A cancellation raises the epoch, so whatever a worker still does for the run changes nothing any more.

use keywright_domain::{ProjectId, RunEvent, RunId, RunReason, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::commit::apply;
use super::find_output;
use crate::halt::Halt;
use crate::row::runs::{Current, Kept, read_current};
use crate::sqlite::leases::is_held;
use crate::{Held, RunOutput, Vault};

/// Cancels one run of a project, unless it has ended.
pub(super) async fn cancel_run(
    tx: &mut SqliteConnection,
    vault: Vault,
    project: ProjectId,
    id: RunId,
    reason: RunReason,
    now: Timestamp,
) -> Result<Option<RunOutput>, Halt> {
    let row = sqlx::query("SELECT * FROM runs WHERE project_id = $1 AND id = $2 AND ended_at IS NULL")
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(row) = row {
        stop(tx, &vault, read_current(&row)?, RunEvent::Cancel(&reason), now).await?;
    }
    find_output(tx, &vault, &project, &id).await
}

/// Cancels every unfinished run of an API of a project.
pub(in crate::sqlite) async fn cancel_unfinished_api_runs(
    tx: &mut SqliteConnection,
    vault: &Vault,
    project: &ProjectId,
    reason: &RunReason,
    now: Timestamp,
) -> Result<(), Halt> {
    let rows = sqlx::query("SELECT * FROM runs WHERE project_id = $1 AND kind = 'api' AND ended_at IS NULL ORDER BY seq")
        .bind(project.as_str())
        .fetch_all(&mut *tx)
        .await?;
    stop_all(tx, vault, &rows, RunEvent::Cancel(reason), now).await
}

/// Cancels runs that one other run has kept from their session for longer than they may wait. The few runs that hold a session
/// are looked at first, and the lines behind them: the order of a CROSS JOIN is kept, and any other reads every run there is.
pub(super) async fn cancel_locked_out(
    tx: &mut SqliteConnection,
    vault: Vault,
    under: Held,
    limit: u32,
    now: Timestamp,
) -> Result<Option<u64>, Halt> {
    if !is_held(tx, &under, now).await? {
        return Ok(None);
    }
    let rows = sqlx::query(
        "SELECT r.* FROM runs holder
         CROSS JOIN runs r ON r.session_key = holder.session_key AND r.ended_at IS NULL AND r.holds_session = 1
         WHERE holder.owner IS NOT NULL AND holder.holds_session = 1
         AND r.state = 'pending' AND r.has_turn = 0 AND r.seq > holder.seq
         AND $1 - max(r.created_at, holder.claimed_at) > r.timeout_s * 1000000
         ORDER BY r.seq LIMIT $2",
    )
    .bind(now.as_micros())
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    stop_all(tx, &vault, &rows, RunEvent::SessionLocked, now).await?;
    Ok(Some(rows.len() as u64))
}

async fn stop_all(
    tx: &mut SqliteConnection,
    vault: &Vault,
    rows: &[SqliteRow],
    event: RunEvent<'_>,
    now: Timestamp,
) -> Result<(), Halt> {
    for row in rows {
        stop(tx, vault, read_current(row)?, event, now).await?;
    }
    Ok(())
}

async fn stop(tx: &mut SqliteConnection, vault: &Vault, run: Current, event: RunEvent<'_>, now: Timestamp) -> Result<(), Halt> {
    let transition = run.state.clone().on(&run.plan, event).map_err(|_| Halt::Misuse("a run was stopped that cannot be"))?;
    sqlx::query("UPDATE runs SET epoch = epoch + 1 WHERE id = $1").bind(run.id.as_str()).execute(&mut *tx).await?;
    apply(tx, vault, &run, &transition.state, &transition.effects, Kept::default(), now).await
}
