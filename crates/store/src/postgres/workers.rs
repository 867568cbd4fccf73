//! Workers as rows: registered, renewed, given up, and freed of what they held.
//!
//! A worker that ends, however it ends, leaves nothing behind in one transaction: its runs and builds wait again under a
//! new epoch, its seats are free, and traces it had not cleaned are dropped. Whoever takes something for a worker locks its
//! row first ([`lock_live`]), so that nothing is taken for a worker that is being given up.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{Timestamp, WorkerId};
use sqlx::Row as _;

use super::PostgresStore;
use super::leases::is_held;
use super::link::Link;
use super::pools::Lane;
use super::transaction::Tx;
use crate::halt::Halt;
use crate::row::attempts::TRACE_LOST;
use crate::row::workers::{labels_json, read_worker};
use crate::{Held, NewWorker, Renewal, Rescued, StoreError, Supersedes, WorkerRecord, WorkerStatus, Workers};

#[async_trait]
impl Workers for PostgresStore {
    async fn register_worker(&self, new: NewWorker) -> Result<Rescued, StoreError> {
        self.write(Lane::Heart, "register_worker", new, |tx, new| register(tx, new).boxed()).await
    }

    async fn renew_worker(&self, id: &WorkerId, ttl_ms: u32) -> Result<Renewal, StoreError> {
        self.write(Lane::Heart, "renew_worker", (id.clone(), ttl_ms), |tx, (id, ttl_ms)| renew(tx, id, *ttl_ms).boxed()).await
    }

    async fn retire_worker(&self, id: &WorkerId) -> Result<Rescued, StoreError> {
        self.write(Lane::Engine, "retire_worker", id.clone(), |tx, id| retire(tx, id).boxed()).await
    }

    async fn rescue_workers(&self, under: &Held, limit: u32) -> Result<Option<Rescued>, StoreError> {
        let input = (under.clone(), limit);
        self.write(Lane::Engine, "rescue_workers", input, |tx, (under, limit)| rescue(tx, under, *limit).boxed()).await
    }

    async fn list_workers(&self, limit: u32) -> Result<Vec<WorkerRecord>, StoreError> {
        self.read(Lane::Api, "list_workers", limit, |link, limit| list(link, *limit).boxed()).await
    }
}

/// When a lease that is taken now lapses.
pub(super) const fn lease_end(now: Timestamp, ttl_ms: u32) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_add(ttl_ms as i64 * 1_000))
}

/// Whether a worker may take and begin anything; if so, nobody gives it up before this transaction ends. A lapsed lease does
/// not matter until somebody has given it up.
pub(super) async fn lock_live(tx: &mut Tx, id: &WorkerId) -> Result<bool, Halt> {
    let statement = sqlx::query("SELECT id FROM workers WHERE id = $1 AND status = 'live' FOR SHARE").bind(id.as_str());
    Ok(tx.read_optional(statement).await?.is_some())
}

async fn register(tx: &mut Tx, new: &NewWorker) -> Result<Rescued, Halt> {
    lock_seats(tx).await?;
    let statement = match new.supersedes {
        Supersedes::EarlierLivesOfNode => sqlx::query(
            "SELECT id FROM workers WHERE status = 'live' AND node = $1 AND host = $2 AND id <> $3 ORDER BY id FOR NO KEY UPDATE",
        )
        .bind(new.node.as_str())
        .bind(new.host.as_str())
        .bind(new.id.as_str()),
        Supersedes::Everybody => {
            sqlx::query("SELECT id FROM workers WHERE status = 'live' AND id <> $1 ORDER BY id FOR NO KEY UPDATE")
                .bind(new.id.as_str())
        }
    };
    let superseded = locked_ids(tx, statement).await?;
    let rescued = end_all(tx, &superseded, WorkerStatus::Lost).await?;
    let statement = sqlx::query(
        "INSERT INTO workers (id, node, host, labels, capacity, version, status, started_at, lease_until)
         VALUES ($1, $2, $3, $4, $5, $6, 'live', $7, $8)",
    )
    .bind(new.id.as_str())
    .bind(new.node.as_str())
    .bind(new.host.as_str())
    .bind(labels_json(&new.labels))
    .bind(i64::from(new.capacity))
    .bind(new.version.as_str())
    .bind(tx.now.as_micros())
    .bind(lease_end(tx.now, new.ttl_ms).as_micros());
    tx.change(statement).await?;
    Ok(rescued)
}

async fn renew(tx: &mut Tx, id: &WorkerId, ttl_ms: u32) -> Result<Renewal, Halt> {
    let statement = sqlx::query("UPDATE workers SET lease_until = $2 WHERE id = $1 AND status = 'live'")
        .bind(id.as_str())
        .bind(lease_end(tx.now, ttl_ms).as_micros());
    let is_renewed = tx.change(statement).await? == 1;
    Ok(if is_renewed { Renewal::Renewed { database_now: tx.now } } else { Renewal::Gone })
}

async fn retire(tx: &mut Tx, id: &WorkerId) -> Result<Rescued, Halt> {
    lock_seats(tx).await?;
    let statement = sqlx::query("UPDATE workers SET lease_until = $2 WHERE id = $1 AND status = 'live'")
        .bind(id.as_str())
        .bind(tx.now.as_micros());
    if tx.change(statement).await? == 0 {
        return Ok(Rescued::default());
    }
    end_all(tx, &[id.to_string()], WorkerStatus::Retired).await
}

/// The holder of the seat is evidently alive, whatever became of its beats.
async fn rescue(tx: &mut Tx, under: &Held, limit: u32) -> Result<Option<Rescued>, Halt> {
    if !is_held(tx, under).await? {
        return Ok(None);
    }
    // A worker whose row somebody has is renewing its lease or taking something; it can wait for the next look.
    let statement = sqlx::query(
        "SELECT id FROM workers WHERE status = 'live' AND lease_until <= $1 AND id <> $2
         ORDER BY lease_until LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind(tx.now.as_micros())
    .bind(under.owner.as_str())
    .bind(i64::from(limit));
    let lapsed = locked_ids(tx, statement).await?;
    end_all(tx, &lapsed, WorkerStatus::Lost).await.map(Some)
}

/// Locks all seats, which come before workers in the order of locks. There are as many as there are kinds of them.
async fn lock_seats(tx: &mut Tx) -> Result<(), Halt> {
    tx.read_all(sqlx::query("SELECT name FROM leases ORDER BY name FOR NO KEY UPDATE")).await.map(drop)
}

async fn locked_ids(tx: &mut Tx, statement: super::link::Statement) -> Result<Vec<String>, Halt> {
    tx.read_all(statement).await?.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Ends live workers, whose rows are locked, and frees what they held.
async fn end_all(tx: &mut Tx, ids: &[String], status: WorkerStatus) -> Result<Rescued, Halt> {
    if ids.is_empty() {
        return Ok(Rescued::default());
    }
    let statement = sqlx::query("UPDATE workers SET status = $2 WHERE id = ANY($1)").bind(ids.to_vec()).bind(status.as_str());
    let workers = tx.change(statement).await?;
    let statement = sqlx::query("UPDATE leases SET owner = NULL, lease_until = $2 WHERE owner = ANY($1)")
        .bind(ids.to_vec())
        .bind(tx.now.as_micros());
    tx.change(statement).await?;
    let statement = sqlx::query("UPDATE deployments SET builder = NULL WHERE builder = ANY($1)").bind(ids.to_vec());
    let builds = tx.change(statement).await?;
    let statement = sqlx::query("SELECT seq FROM runs WHERE owner = ANY($1) ORDER BY seq FOR NO KEY UPDATE").bind(ids.to_vec());
    tx.read_all(statement).await?;
    let statement = sqlx::query(
        "WITH freed AS (
             UPDATE runs SET owner = NULL, claimed_at = NULL, epoch = runs.epoch + 1, events = runs.events + 1
             FROM runs before WHERE before.seq = runs.seq AND runs.owner = ANY($1)
             RETURNING runs.id, runs.events, runs.epoch, before.owner
         )
         INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id)
         SELECT id, events, $2, 'rescued', epoch, owner FROM freed",
    )
    .bind(ids.to_vec())
    .bind(tx.now.as_micros());
    let runs = tx.change(statement).await?;
    let statement =
        sqlx::query("UPDATE attempts SET trace = 'dropped', trace_note = $2 WHERE worker_id = ANY($1) AND trace = 'pending'")
            .bind(ids.to_vec())
            .bind(TRACE_LOST);
    let traces = tx.change(statement).await?;
    Ok(Rescued { workers, runs, builds, traces })
}

async fn list(link: &mut Link, limit: u32) -> Result<Vec<WorkerRecord>, Halt> {
    let statement = sqlx::query(
        "SELECT w.*, (SELECT count(*) FROM runs r WHERE r.owner = w.id) AS held_runs
         FROM (SELECT * FROM workers ORDER BY status = 'live' DESC, started_at DESC, id LIMIT $1) w
         ORDER BY w.started_at DESC, w.id",
    )
    .bind(i64::from(limit));
    link.read_all(statement).await?.iter().map(|row| read_worker(row)).collect()
}
