//! Seats as rows: taken, kept, given back. Whoever does something under a seat asks [`is_held`] in its own transaction.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{Epoch, Timestamp, WorkerId};
use sqlx::SqliteConnection;

use super::SqliteStore;
use super::workers::{is_live, lease_end};
use crate::halt::Halt;
use crate::{Held, LeaseName, Leases, StoreError};

/// Makes the seat, takes it when nobody has it any more, or keeps it; nothing when somebody else has it.
const ACQUIRE: &str = "
    INSERT INTO leases (name, owner, epoch, lease_until) VALUES ($1, $2, 1, $3)
    ON CONFLICT (name) DO UPDATE SET
        epoch = CASE WHEN leases.owner = excluded.owner THEN leases.epoch ELSE leases.epoch + 1 END,
        owner = excluded.owner, lease_until = excluded.lease_until
    WHERE leases.owner IS NULL OR leases.owner = excluded.owner OR leases.lease_until <= $4
    RETURNING epoch";

#[async_trait]
impl Leases for SqliteStore {
    async fn acquire_lease(&self, name: LeaseName, owner: &WorkerId, ttl_ms: u32) -> Result<Option<Held>, StoreError> {
        let owner = owner.clone();
        self.write("acquire_lease", move |tx, now| acquire(tx, name, owner, ttl_ms, now).boxed()).await
    }

    async fn release_lease(&self, held: &Held) -> Result<(), StoreError> {
        let held = held.clone();
        self.write("release_lease", move |tx, now| release(tx, held, now).boxed()).await
    }
}

async fn acquire(
    tx: &mut SqliteConnection,
    name: LeaseName,
    owner: WorkerId,
    ttl_ms: u32,
    now: Timestamp,
) -> Result<Option<Held>, Halt> {
    if !is_live(tx, &owner).await? {
        return Ok(None);
    }
    let epoch: Option<i64> = sqlx::query_scalar(ACQUIRE)
        .bind(name.as_str())
        .bind(owner.as_str())
        .bind(lease_end(now, ttl_ms).as_micros())
        .bind(now.as_micros())
        .fetch_optional(tx)
        .await?;
    Ok(epoch.map(|epoch| Held { name, owner, epoch: Epoch::new(epoch) }))
}

async fn release(tx: &mut SqliteConnection, held: Held, now: Timestamp) -> Result<(), Halt> {
    sqlx::query("UPDATE leases SET owner = NULL, lease_until = $4 WHERE name = $1 AND owner = $2 AND epoch = $3")
        .bind(held.name.as_str())
        .bind(held.owner.as_str())
        .bind(held.epoch.get())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether a seat is still held: nobody else took it, its holder was not given up, and its lease has not lapsed.
pub(super) async fn is_held(tx: &mut SqliteConnection, held: &Held, now: Timestamp) -> Result<bool, Halt> {
    let query = "SELECT EXISTS (SELECT 1 FROM leases WHERE name = $1 AND owner = $2 AND epoch = $3 AND lease_until > $4)";
    Ok(sqlx::query_scalar(query)
        .bind(held.name.as_str())
        .bind(held.owner.as_str())
        .bind(held.epoch.get())
        .bind(now.as_micros())
        .fetch_one(tx)
        .await?)
}
