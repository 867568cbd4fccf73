//! Rotation of keys, and the walk over everything sealed.
//!
//! Values are read and sealed anew outside any transaction and put back in one, each only if it is still what was read: the
//! writer is never held up by encryption.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{Timestamp, WorkspaceId};
use sqlx::SqliteConnection;

use super::{SqliteStore, data_keys};
use crate::halt::{Halt, InMethod as _};
use crate::row::data_keys::read_sealed;
use crate::secrets::{self, RotatedKeys, SealedColumn, SealedRow, SealedRows, Swap};
use crate::vault::HEADER_BYTES;
use crate::{DataKeys, SealedBatch, SealedCursor, Secrets, StoreError, Vault};

#[async_trait]
impl Secrets for SqliteStore {
    async fn list_data_keys(&self) -> Result<Vec<DataKeys>, StoreError> {
        let keys = data_keys::list(&self.readers).await.in_method("list_data_keys")?;
        secrets::standing(&self.vault, &keys).in_method("list_data_keys")
    }

    async fn rotate_data_keys(&self) -> Result<(), StoreError> {
        let vault = self.vault.clone();
        let new = self.write("rotate_data_keys", move |tx, now| rotate(tx, vault, now).boxed()).await?;
        // Only now: a key seals nothing before it is stored.
        for key in &new {
            self.vault.add_data_key(key)?;
        }
        Ok(())
    }

    async fn reseal(&self, workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> Result<SealedBatch, StoreError> {
        secrets::reseal(self, &self.vault, workspace, from, limit).await
    }

    async fn settle_data_keys(&self, workspace: &WorkspaceId) -> Result<(), StoreError> {
        let workspace = workspace.clone();
        self.write("settle_data_keys", move |tx, now| settle(tx, workspace, now).boxed()).await
    }

    async fn check_sealed(&self, workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> Result<SealedBatch, StoreError> {
        secrets::check(self, &self.vault, workspace, from, limit).await
    }
}

#[async_trait]
impl SealedRows for SqliteStore {
    async fn list_sealed(
        &self,
        column: &'static SealedColumn,
        workspace: &WorkspaceId,
        after: &str,
        below: [u8; HEADER_BYTES],
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let rows = sqlx::query(column.list)
            .bind(workspace.as_str())
            .bind(after)
            .bind(below.as_slice())
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await;
        let rows = rows.map_err(Halt::from).in_method("list_sealed")?;
        rows.iter().map(|row| read_sealed(column.table, row)).collect::<Result<_, _>>().in_method("list_sealed")
    }

    async fn swap_sealed(
        &self,
        column: &'static SealedColumn,
        workspace: &WorkspaceId,
        swaps: Vec<Swap>,
    ) -> Result<(), StoreError> {
        let workspace = workspace.clone();
        self.write("swap_sealed", move |tx, _| swap(tx, column, workspace, swaps).boxed()).await
    }
}

async fn rotate(tx: &mut SqliteConnection, vault: Vault, now: Timestamp) -> Result<Vec<crate::WrappedKey>, Halt> {
    let keys = data_keys::list(&mut *tx).await?;
    let RotatedKeys { rewrapped, new } = secrets::rotated(&vault, &keys)?;
    for key in rewrapped {
        sqlx::query("UPDATE data_keys SET wrapped = $3 WHERE workspace_id = $1 AND version = $2")
            .bind(key.workspace.as_str())
            .bind(i64::from(key.version.get()))
            .bind(key.wrapped)
            .execute(&mut *tx)
            .await?;
    }
    for key in &new {
        data_keys::insert(tx, key, false, now).await?;
    }
    Ok(new)
}

async fn settle(tx: &mut SqliteConnection, workspace: WorkspaceId, now: Timestamp) -> Result<(), Halt> {
    sqlx::query("UPDATE data_keys SET settled_at = $2 WHERE workspace_id = $1 AND settled_at IS NULL")
        .bind(workspace.as_str())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(())
}

async fn swap(
    tx: &mut SqliteConnection,
    column: &'static SealedColumn,
    workspace: WorkspaceId,
    swaps: Vec<Swap>,
) -> Result<(), Halt> {
    for swap in swaps {
        sqlx::query(column.swap).bind(workspace.as_str()).bind(swap.row).bind(swap.old).bind(swap.new).execute(&mut *tx).await?;
    }
    Ok(())
}
