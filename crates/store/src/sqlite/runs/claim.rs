//! Claims: which runs can go on now, who has them, and the attempts that the holder of a claim uses up.
//!
//! A claim lives as long as the process that made it. The next life frees what it finds claimed; an attempt that was open
//! then stays open in its row until the run is taken again, so that whoever takes it knows that user code may have run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use keywright_domain::{AttemptNumber, RunId, Stage, Timestamp, WorkerId};
use sqlx::SqliteConnection;

use super::record::get_record;
use crate::sqlite::forms::to_json;
use crate::sqlite::halt::Halt;
use crate::{RunRecord, StoreError, Vault};

/// The oldest run that can go on. Per project with room, that is its oldest free run which wants no session, or whose session
/// no earlier unfinished run wants or has.
const NEXT: &str = "
    SELECT min(next.seq) FROM (
        SELECT (
            SELECT r.seq FROM runs r
            WHERE r.project_id = p.id AND r.ended_at IS NULL AND r.owner IS NULL
            AND (r.holds_session = 0 OR NOT EXISTS (
                SELECT 1 FROM runs earlier
                WHERE earlier.session_key = r.session_key AND earlier.ended_at IS NULL
                AND earlier.holds_session = 1 AND earlier.seq < r.seq
            ))
            AND r.seq NOT IN (SELECT value FROM json_each($1))
            ORDER BY r.seq LIMIT 1
        ) AS seq
        FROM projects p
        WHERE p.active_deployment IS NOT NULL
        AND p.max_concurrent > (SELECT count(*) FROM runs o WHERE o.project_id = p.id AND o.owner IS NOT NULL)
    ) AS next";

const TAKE: &str = "
    UPDATE runs
    SET owner = $2, claimed_at = $3, epoch = epoch + 1, started_at = coalesce(started_at, $3),
        deployment_id = coalesce(deployment_id, (SELECT p.active_deployment FROM projects p WHERE p.id = runs.project_id))
    WHERE seq = $1";

/// The sequence numbers of runs whose rows turned out to be damaged in this life of the process. They are left as they are,
/// for a person to look at, and do not keep the others from going on.
pub(in crate::sqlite) type SetAside = Arc<Mutex<BTreeSet<i64>>>;

/// Takes up to `limit` runs.
pub(super) async fn claim(
    tx: &mut SqliteConnection,
    vault: Vault,
    set_aside: SetAside,
    worker: WorkerId,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<RunRecord>, Halt> {
    let mut taken = Vec::new();
    while taken.len() < limit as usize {
        let passed_over = to_json(&*set_aside.lock().expect("no thread panics while it holds this lock"));
        let Some(seq) = sqlx::query_scalar::<_, Option<i64>>(NEXT).bind(passed_over).fetch_one(&mut *tx).await? else { break };
        match get_record(tx, &vault, seq).await {
            Ok(_) => {}
            Err(Halt::Store(error @ (StoreError::Corrupt { .. } | StoreError::Vault(_)))) => {
                tracing::error!(%error, run.seq = seq, "a run cannot be read and is set aside until the next start");
                set_aside.lock().expect("no thread panics while it holds this lock").insert(seq);
                continue;
            }
            Err(error) => return Err(error),
        }
        sqlx::query(TAKE).bind(seq).bind(worker.as_str()).bind(now.as_micros()).execute(&mut *tx).await?;
        taken.push(get_record(tx, &vault, seq).await?);
    }
    Ok(taken)
}

/// Frees every run. The epochs are raised as well, so that no write of an earlier life can still count.
pub(super) async fn release_all(tx: &mut SqliteConnection) -> Result<u64, Halt> {
    let done = sqlx::query("UPDATE runs SET owner = NULL, claimed_at = NULL, epoch = epoch + 1 WHERE owner IS NOT NULL")
        .execute(tx)
        .await?;
    Ok(done.rows_affected())
}

/// Frees one run, if the claim holds.
pub(super) async fn release(tx: &mut SqliteConnection, id: RunId, epoch: i64) -> Result<(), Halt> {
    sqlx::query("UPDATE runs SET owner = NULL, claimed_at = NULL WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL")
        .bind(id.as_str())
        .bind(epoch)
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether a claim holds.
pub(super) async fn is_current(connection: &mut SqliteConnection, id: &RunId, epoch: i64) -> Result<bool, Halt> {
    let query = "SELECT EXISTS (SELECT 1 FROM runs WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL)";
    Ok(sqlx::query_scalar(query).bind(id.as_str()).bind(epoch).fetch_one(connection).await?)
}

/// Uses up an attempt, if the claim holds.
pub(super) async fn begin_attempt(
    tx: &mut SqliteConnection,
    id: RunId,
    epoch: i64,
    stage: Stage,
    now: Timestamp,
) -> Result<Option<AttemptNumber>, Halt> {
    let number: Option<u32> = sqlx::query_scalar(
        "UPDATE runs SET attempts = attempts + 1 WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL RETURNING attempts",
    )
    .bind(id.as_str())
    .bind(epoch)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(number) = number.and_then(AttemptNumber::new) else { return Ok(None) };
    sqlx::query("INSERT INTO attempts (run_id, number, stage, epoch, started_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(id.as_str())
        .bind(number.get())
        .bind(stage.as_str())
        .bind(epoch)
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(Some(number))
}
