//! Keys and workspaces as rows. A workspace is stored together with its first data key, and that key seals nothing before it is
//! stored.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{KeyId, Timestamp, WorkspaceId};
use sqlx::{SqliteConnection, SqlitePool};

use super::{SqliteStore, data_keys};
use crate::halt::{Halt, InMethod as _};
use crate::row::Fields;
use crate::row::keys::{FIND_LIVE_KEY, read_key, read_live_key};
use crate::{ApiKey, Bootstrap, KeyVersion, Keys, NewKey, StoreError, Vault, WrappedKey};

#[async_trait]
impl Keys for SqliteStore {
    async fn bootstrap(&self, workspace: &WorkspaceId, key: NewKey) -> Result<Bootstrap, StoreError> {
        let data_key = self.vault.new_data_key(workspace, KeyVersion::FIRST);
        let stored = data_key.clone();
        let outcome = self.write("bootstrap", move |tx, now| bootstrap(tx, stored, key, now).boxed()).await?;
        match &outcome {
            Bootstrap::Created => self.vault.add_data_key(&data_key)?,
            // Somebody else may have made it since this store was opened, and with another master key.
            Bootstrap::Existing(workspace) => self.vault.learn(workspace).await?,
        }
        Ok(outcome)
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        self.open_sealed("find_key", || find_key(&self.readers, &self.vault, hash)).await
    }

    async fn create_key(&self, workspace: &WorkspaceId, key: NewKey) -> Result<ApiKey, StoreError> {
        let workspace = workspace.clone();
        self.write("create_key", move |tx, now| insert_key(tx, workspace, key, now).boxed()).await
    }

    async fn list_keys(&self, workspace: &WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        list_keys(&self.readers, workspace).await.in_method("list_keys")
    }

    async fn revoke_key(&self, workspace: &WorkspaceId, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        let (workspace, id) = (workspace.clone(), id.clone());
        self.write("revoke_key", move |tx, now| revoke_key(tx, workspace, id, now).boxed()).await
    }
}

async fn bootstrap(tx: &mut SqliteConnection, data_key: WrappedKey, key: NewKey, now: Timestamp) -> Result<Bootstrap, Halt> {
    let oldest = sqlx::query("SELECT id FROM workspaces ORDER BY created_at, id LIMIT 1").fetch_optional(&mut *tx).await?;
    if let Some(row) = oldest {
        let fields = Fields::new(&row, "workspaces", "id")?;
        return Ok(Bootstrap::Existing(fields.parse("id", WorkspaceId::parse)?));
    }
    sqlx::query("INSERT INTO workspaces (id, created_at) VALUES ($1, $2)")
        .bind(data_key.workspace.as_str())
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
    data_keys::insert(tx, &data_key, true, now).await?;
    insert_key(tx, data_key.workspace, key, now).await?;
    Ok(Bootstrap::Created)
}

async fn insert_key(tx: &mut SqliteConnection, workspace: WorkspaceId, key: NewKey, now: Timestamp) -> Result<ApiKey, Halt> {
    sqlx::query("INSERT INTO api_keys (id, workspace_id, name, hash, created_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(key.id.as_str())
        .bind(workspace.as_str())
        .bind(key.name.as_str())
        .bind(key.hash.as_slice())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(ApiKey { id: key.id, workspace, name: key.name, created_at: now, revoked_at: None })
}

async fn find_key(readers: &SqlitePool, vault: &Vault, hash: &[u8; 32]) -> Result<Option<ApiKey>, Halt> {
    let row = sqlx::query(FIND_LIVE_KEY).bind(hash.as_slice()).fetch_optional(readers).await?;
    row.as_ref().map(|row| read_live_key(row, vault)).transpose()
}

async fn list_keys(readers: &SqlitePool, workspace: &WorkspaceId) -> Result<Vec<ApiKey>, Halt> {
    let rows = sqlx::query("SELECT * FROM api_keys WHERE workspace_id = $1 ORDER BY created_at, rowid")
        .bind(workspace.as_str())
        .fetch_all(readers)
        .await?;
    rows.iter().map(|row| read_key(row)).collect()
}

async fn revoke_key(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    id: KeyId,
    now: Timestamp,
) -> Result<Option<ApiKey>, Halt> {
    let row =
        sqlx::query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE workspace_id = $1 AND id = $2 RETURNING *")
            .bind(workspace.as_str())
            .bind(id.as_str())
            .bind(now.as_micros())
            .fetch_optional(tx)
            .await?;
    row.as_ref().map(|row| read_key(row)).transpose()
}
