//! Seats as rows: taken, kept, given back. Whoever does something under a seat asks [`is_held`] in its own transaction, and
//! the seat does not change hands before that transaction has ended.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::WorkerId;

use super::PostgresStore;
use super::pools::Lane;
use super::transaction::Tx;
use super::workers::{lease_end, lock_live};
use crate::halt::Halt;
use crate::row::Fields;
use crate::{Held, LeaseName, Leases, StoreError};

/// Makes the seat, takes it when nobody has it any more, or keeps it; nothing when somebody else has it.
const ACQUIRE: &str = "
    INSERT INTO leases (name, owner, epoch, lease_until) VALUES ($1, $2, 1, $3)
    ON CONFLICT (name) DO UPDATE SET
        epoch = CASE WHEN leases.owner = excluded.owner THEN leases.epoch ELSE leases.epoch + 1 END,
        owner = excluded.owner, lease_until = excluded.lease_until
    WHERE leases.owner IS NULL OR leases.owner = excluded.owner OR leases.lease_until <= $4
    RETURNING name, epoch";

#[async_trait]
impl Leases for PostgresStore {
    async fn acquire_lease(&self, name: LeaseName, owner: &WorkerId, ttl_ms: u32) -> Result<Option<Held>, StoreError> {
        let input = (name, owner.clone(), ttl_ms);
        self.write(Lane::Heart, "acquire_lease", input, |tx, (name, owner, ttl_ms)| acquire(tx, *name, owner, *ttl_ms).boxed())
            .await
    }

    async fn release_lease(&self, held: &Held) -> Result<(), StoreError> {
        self.write(Lane::Engine, "release_lease", held.clone(), |tx, held| release(tx, held).boxed()).await
    }
}

async fn acquire(tx: &mut Tx, name: LeaseName, owner: &WorkerId, ttl_ms: u32) -> Result<Option<Held>, Halt> {
    // Seats come before workers in the order of locks.
    tx.read_all(sqlx::query("SELECT name FROM leases WHERE name = $1 FOR NO KEY UPDATE").bind(name.as_str())).await?;
    if !lock_live(tx, owner).await? {
        return Ok(None);
    }
    let statement = sqlx::query(ACQUIRE)
        .bind(name.as_str())
        .bind(owner.as_str())
        .bind(lease_end(tx.now, ttl_ms).as_micros())
        .bind(tx.now.as_micros());
    let Some(row) = tx.change_one(statement).await? else { return Ok(None) };
    let epoch = Fields::new(&row, "leases", "name")?.epoch("epoch")?;
    Ok(Some(Held { name, owner: owner.clone(), epoch }))
}

async fn release(tx: &mut Tx, held: &Held) -> Result<(), Halt> {
    let statement = sqlx::query("UPDATE leases SET owner = NULL, lease_until = $4 WHERE name = $1 AND owner = $2 AND epoch = $3")
        .bind(held.name.as_str())
        .bind(held.owner.as_str())
        .bind(held.epoch.get())
        .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(())
}

/// Whether a seat is still held: nobody else took it, its holder was not given up, and its lease has not lapsed.
pub(super) async fn is_held(tx: &mut Tx, held: &Held) -> Result<bool, Halt> {
    let statement =
        sqlx::query("SELECT name FROM leases WHERE name = $1 AND owner = $2 AND epoch = $3 AND lease_until > $4 FOR SHARE")
            .bind(held.name.as_str())
            .bind(held.owner.as_str())
            .bind(held.epoch.get())
            .bind(tx.now.as_micros());
    Ok(tx.read_optional(statement).await?.is_some())
}
