//! Data keys as rows: read when the database is opened, and again when the vault meets one that it does not know.

use async_trait::async_trait;
use keywright_domain::{Timestamp, WorkspaceId};
use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};

use crate::halt::{Halt, InMethod as _};
use crate::row::data_keys::{read_data_key, read_standing};
use crate::vault::KeySource;
use crate::{StoreError, WrappedKey};

/// The table, for a vault that meets a key that it does not know.
pub(super) struct DataKeyTable(pub(super) SqlitePool);

#[async_trait]
impl KeySource for DataKeyTable {
    async fn data_keys(&self, workspace: &WorkspaceId) -> Result<Vec<WrappedKey>, StoreError> {
        list_of(&self.0, workspace).await.in_method("data_keys")
    }
}

async fn list_of(readers: &SqlitePool, workspace: &WorkspaceId) -> Result<Vec<WrappedKey>, Halt> {
    let rows = sqlx::query("SELECT * FROM data_keys WHERE workspace_id = $1 ORDER BY version")
        .bind(workspace.as_str())
        .fetch_all(readers)
        .await?;
    rows.iter().map(|row| read_data_key(row)).collect()
}

/// The keys of all workspaces, each with whether its rotation is settled.
pub(super) async fn list(connection: impl SqliteExecutor<'_>) -> Result<Vec<(WrappedKey, bool)>, Halt> {
    let rows = sqlx::query("SELECT * FROM data_keys ORDER BY workspace_id, version").fetch_all(connection).await?;
    rows.iter().map(|row| read_standing(row)).collect()
}

/// Stores a key. `is_settled` says that there is nothing that an older key has sealed.
pub(super) async fn insert(tx: &mut SqliteConnection, key: &WrappedKey, is_settled: bool, now: Timestamp) -> Result<(), Halt> {
    sqlx::query("INSERT INTO data_keys (workspace_id, version, wrapped, created_at, settled_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(key.workspace.as_str())
        .bind(i64::from(key.version.get()))
        .bind(key.wrapped.as_slice())
        .bind(now.as_micros())
        .bind(is_settled.then_some(now.as_micros()))
        .execute(tx)
        .await?;
    Ok(())
}
