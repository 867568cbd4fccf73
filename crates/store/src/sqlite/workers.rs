//! Workers as rows: registered, renewed, given up, and freed of what they held.
//!
//! A worker that ends, however it ends, leaves nothing behind in one transaction: its runs and builds wait again under a
//! new epoch, its seats are free, and traces it had not cleaned are dropped.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{Timestamp, WorkerId};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::leases::is_held;
use crate::halt::{Halt, InMethod as _};
use crate::planted::{self, PlantedBug};
use crate::row::attempts::TRACE_LOST;
use crate::row::workers::{labels_json, read_worker};
use crate::{Held, NewWorker, Renewal, Rescued, StoreError, Supersedes, WorkerRecord, WorkerStatus, Workers};

#[async_trait]
impl Workers for SqliteStore {
    async fn register_worker(&self, new: NewWorker) -> Result<Rescued, StoreError> {
        self.write("register_worker", move |tx, now| register(tx, new, now).boxed()).await
    }

    async fn renew_worker(&self, id: &WorkerId, ttl_ms: u32) -> Result<Renewal, StoreError> {
        let id = id.clone();
        self.write("renew_worker", move |tx, now| renew(tx, id, ttl_ms, now).boxed()).await
    }

    async fn retire_worker(&self, id: &WorkerId) -> Result<Rescued, StoreError> {
        let id = id.clone();
        self.write("retire_worker", move |tx, now| retire(tx, id, now).boxed()).await
    }

    async fn rescue_workers(&self, under: &Held, limit: u32) -> Result<Option<Rescued>, StoreError> {
        let under = under.clone();
        self.write("rescue_workers", move |tx, now| rescue(tx, under, limit, now).boxed()).await
    }

    async fn list_workers(&self, limit: u32) -> Result<Vec<WorkerRecord>, StoreError> {
        list(&self.readers, limit).await.in_method("list_workers")
    }
}

/// When a lease that is taken now lapses.
pub(super) const fn lease_end(now: Timestamp, ttl_ms: u32) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_add(ttl_ms as i64 * 1_000))
}

/// Whether a worker may take and begin anything. A lapsed lease does not matter until somebody has given it up.
pub(super) async fn is_live(tx: &mut SqliteConnection, id: &WorkerId) -> Result<bool, Halt> {
    let query = "SELECT EXISTS (SELECT 1 FROM workers WHERE id = $1 AND status = 'live')";
    Ok(sqlx::query_scalar(query).bind(id.as_str()).fetch_one(tx).await?)
}

async fn register(tx: &mut SqliteConnection, new: NewWorker, now: Timestamp) -> Result<Rescued, Halt> {
    let superseded = match new.supersedes {
        Supersedes::EarlierLivesOfNode => {
            sqlx::query_scalar("SELECT id FROM workers WHERE status = 'live' AND node = $1 AND host = $2")
                .bind(new.node.as_str())
                .bind(&new.host)
                .fetch_all(&mut *tx)
                .await?
        }
        Supersedes::Everybody => sqlx::query_scalar("SELECT id FROM workers WHERE status = 'live'").fetch_all(&mut *tx).await?,
    };
    let rescued = end_all(tx, superseded, now).await?;
    sqlx::query(
        "INSERT INTO workers (id, node, host, labels, capacity, version, status, started_at, lease_until)
         VALUES ($1, $2, $3, $4, $5, $6, 'live', $7, $8)",
    )
    .bind(new.id.as_str())
    .bind(new.node.as_str())
    .bind(&new.host)
    .bind(labels_json(&new.labels))
    .bind(new.capacity)
    .bind(&new.version)
    .bind(now.as_micros())
    .bind(lease_end(now, new.ttl_ms).as_micros())
    .execute(tx)
    .await?;
    Ok(rescued)
}

async fn renew(tx: &mut SqliteConnection, id: WorkerId, ttl_ms: u32, now: Timestamp) -> Result<Renewal, Halt> {
    let done = sqlx::query("UPDATE workers SET lease_until = $2 WHERE id = $1 AND (status = 'live' OR $3)")
        .bind(id.as_str())
        .bind(lease_end(now, ttl_ms).as_micros())
        .bind(planted::is(PlantedBug::RenewalOfTheLost))
        .execute(tx)
        .await?;
    Ok(if done.rows_affected() == 1 { Renewal::Renewed { database_now: now } } else { Renewal::Gone })
}

async fn retire(tx: &mut SqliteConnection, id: WorkerId, now: Timestamp) -> Result<Rescued, Halt> {
    if !is_live(tx, &id).await? {
        return Ok(Rescued::default());
    }
    sqlx::query("UPDATE workers SET lease_until = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
    end(tx, id.as_str(), WorkerStatus::Retired, now).await
}

/// The holder of the seat is evidently alive, whatever became of its beats.
async fn rescue(tx: &mut SqliteConnection, under: Held, limit: u32, now: Timestamp) -> Result<Option<Rescued>, Halt> {
    if !is_held(tx, &under, now).await? && !planted::is(PlantedBug::RescueWithoutSeat) {
        return Ok(None);
    }
    let lapsed = sqlx::query_scalar(
        "SELECT id FROM workers WHERE status = 'live' AND lease_until <= $1 AND id <> $2 ORDER BY lease_until LIMIT $3",
    )
    .bind(now.as_micros())
    .bind(under.owner.as_str())
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    end_all(tx, lapsed, now).await.map(Some)
}

/// Gives workers up.
async fn end_all(tx: &mut SqliteConnection, ids: Vec<String>, now: Timestamp) -> Result<Rescued, Halt> {
    let mut all = Rescued::default();
    for id in ids {
        let Rescued { workers, runs, builds, traces } = end(tx, &id, WorkerStatus::Lost, now).await?;
        all.workers += workers;
        all.runs += runs;
        all.builds += builds;
        all.traces += traces;
    }
    Ok(all)
}

/// Ends a live worker and frees what it held.
async fn end(tx: &mut SqliteConnection, id: &str, status: WorkerStatus, now: Timestamp) -> Result<Rescued, Halt> {
    sqlx::query("UPDATE workers SET status = $2 WHERE id = $1").bind(id).bind(status.as_str()).execute(&mut *tx).await?;
    let raise = i64::from(!planted::is(PlantedBug::RescueKeepsEpoch));
    if !planted::is(PlantedBug::RescueWithoutEvent) {
        sqlx::query(
            "INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id)
             SELECT id, events + 1, $2, 'rescued', epoch + $3, owner FROM runs WHERE owner = $1",
        )
        .bind(id)
        .bind(now.as_micros())
        .bind(raise)
        .execute(&mut *tx)
        .await?;
    }
    let runs =
        sqlx::query("UPDATE runs SET owner = NULL, claimed_at = NULL, epoch = epoch + $2, events = events + 1 WHERE owner = $1")
            .bind(id)
            .bind(raise)
            .execute(&mut *tx)
            .await?;
    let builds = sqlx::query("UPDATE deployments SET builder = NULL WHERE builder = $1").bind(id).execute(&mut *tx).await?;
    let traces = sqlx::query("UPDATE attempts SET trace = 'dropped', trace_note = $2 WHERE worker_id = $1 AND trace = 'pending'")
        .bind(id)
        .bind(TRACE_LOST)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE leases SET owner = NULL, lease_until = $2 WHERE owner = $1")
        .bind(id)
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(Rescued { workers: 1, runs: runs.rows_affected(), builds: builds.rows_affected(), traces: traces.rows_affected() })
}

async fn list(readers: &SqlitePool, limit: u32) -> Result<Vec<WorkerRecord>, Halt> {
    let rows = sqlx::query(
        "SELECT w.*, (SELECT count(*) FROM runs r WHERE r.owner = w.id) AS held_runs
         FROM (SELECT * FROM workers ORDER BY status = 'live' DESC, started_at DESC, id LIMIT $1) w
         ORDER BY w.started_at DESC, w.id",
    )
    .bind(limit)
    .fetch_all(readers)
    .await?;
    rows.iter().map(|row| read_worker(row)).collect()
}
