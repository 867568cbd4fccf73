//! Rotation of keys, and the walk over everything sealed.
//!
//! Values are read and sealed anew outside any transaction and put back in one, each only if it is still what was read: no
//! row is locked for longer than an update takes.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::WorkspaceId;

use super::link::Link;
use super::locks::lock_first_start;
use super::pools::Lane;
use super::transaction::Tx;
use super::{PostgresStore, data_keys};
use crate::halt::{Halt, InMethod as _};
use crate::row::data_keys::read_sealed;
use crate::secrets::{self, RotatedKeys, SealedColumn, SealedRow, SealedRows, Swap};
use crate::vault::HEADER_BYTES;
use crate::{DataKeys, SealedBatch, SealedCursor, Secrets, StoreError, Vault, WrappedKey};

#[async_trait]
impl Secrets for PostgresStore {
    async fn list_data_keys(&self) -> Result<Vec<DataKeys>, StoreError> {
        let keys = self.read(Lane::Api, "list_data_keys", (), |link, ()| data_keys::list_standing(link).boxed()).await?;
        secrets::standing(&self.desk.vault, &keys).in_method("list_data_keys")
    }

    async fn rotate_data_keys(&self) -> Result<(), StoreError> {
        let vault = &self.desk.vault;
        let new = self.write(Lane::Api, "rotate_data_keys", vault.clone(), |tx, vault| rotate(tx, vault).boxed()).await?;
        // Only now: a key seals nothing before it is stored.
        for key in &new {
            vault.add_data_key(key)?;
        }
        Ok(())
    }

    async fn reseal(&self, workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> Result<SealedBatch, StoreError> {
        secrets::reseal(self, &self.desk.vault, workspace, from, limit).await
    }

    async fn settle_data_keys(&self, workspace: &WorkspaceId) -> Result<(), StoreError> {
        let input = workspace.clone();
        self.write(Lane::Api, "settle_data_keys", input, |tx, workspace| settle(tx, workspace).boxed()).await
    }

    async fn check_sealed(&self, workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> Result<SealedBatch, StoreError> {
        secrets::check(self, &self.desk.vault, workspace, from, limit).await
    }
}

/// One page of a walk.
struct Page {
    column: &'static SealedColumn,
    workspace: WorkspaceId,
    after: String,
    below: [u8; HEADER_BYTES],
    limit: u32,
}

#[async_trait]
impl SealedRows for PostgresStore {
    async fn list_sealed(
        &self,
        column: &'static SealedColumn,
        workspace: &WorkspaceId,
        after: &str,
        below: [u8; HEADER_BYTES],
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let page = Page { column, workspace: workspace.clone(), after: after.to_owned(), below, limit };
        self.read(Lane::Api, "list_sealed", page, |link, page| list(link, page).boxed()).await
    }

    async fn swap_sealed(
        &self,
        column: &'static SealedColumn,
        workspace: &WorkspaceId,
        swaps: Vec<Swap>,
    ) -> Result<(), StoreError> {
        let input = (column, workspace.clone(), swaps);
        self.write(Lane::Api, "swap_sealed", input, |tx, (column, workspace, swaps)| swap(tx, column, workspace, swaps).boxed())
            .await
    }
}

async fn rotate(tx: &mut Tx, vault: &Vault) -> Result<Vec<WrappedKey>, Halt> {
    // Two rotations at once, or one and a first start, would each know half of the keys.
    lock_first_start(tx).await?;
    let keys = data_keys::list_standing(tx).await?;
    let RotatedKeys { rewrapped, new } = secrets::rotated(vault, &keys)?;
    for key in rewrapped {
        let statement = sqlx::query("UPDATE data_keys SET wrapped = $3 WHERE workspace_id = $1 AND version = $2")
            .bind(key.workspace.as_str().to_owned())
            .bind(i64::from(key.version.get()))
            .bind(key.wrapped);
        tx.change(statement).await?;
    }
    for key in &new {
        data_keys::insert(tx, key, false).await?;
    }
    Ok(new)
}

async fn settle(tx: &mut Tx, workspace: &WorkspaceId) -> Result<(), Halt> {
    let statement = sqlx::query("UPDATE data_keys SET settled_at = $2 WHERE workspace_id = $1 AND settled_at IS NULL")
        .bind(workspace.as_str())
        .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(())
}

async fn list(link: &mut Link, page: &Page) -> Result<Vec<SealedRow>, Halt> {
    let statement = sqlx::query(page.column.list)
        .bind(page.workspace.as_str())
        .bind(page.after.as_str())
        .bind(page.below.as_slice())
        .bind(i64::from(page.limit));
    link.read_all(statement).await?.iter().map(|row| read_sealed(page.column.table, row)).collect()
}

async fn swap(tx: &mut Tx, column: &SealedColumn, workspace: &WorkspaceId, swaps: &[Swap]) -> Result<(), Halt> {
    for swap in swaps {
        let statement = sqlx::query(column.swap)
            .bind(workspace.as_str())
            .bind(swap.row.as_str())
            .bind(swap.old.as_slice())
            .bind(swap.new.as_slice());
        tx.change(statement).await?;
    }
    Ok(())
}
