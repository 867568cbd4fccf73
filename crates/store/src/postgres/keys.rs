//! Keys and workspaces as rows. A workspace is stored together with its first data key, and that key seals nothing before it is
//! stored.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{KeyId, WorkspaceId};

use super::link::Link;
use super::locks::lock_first_start;
use super::pools::Lane;
use super::transaction::Tx;
use super::{PostgresStore, data_keys};
use crate::halt::Halt;
use crate::row::Fields;
use crate::row::keys::{FIND_LIVE_KEY, read_key, read_live_key};
use crate::{ApiKey, Bootstrap, KeyVersion, Keys, NewKey, StoreError, Vault, WrappedKey};

#[async_trait]
impl Keys for PostgresStore {
    async fn bootstrap(&self, workspace: &WorkspaceId, key: NewKey) -> Result<Bootstrap, StoreError> {
        let vault = &self.desk.vault;
        let data_key = vault.new_data_key(workspace, KeyVersion::FIRST);
        let input = (data_key.clone(), key);
        let outcome =
            self.write(Lane::Api, "bootstrap", input, |tx, (data_key, key)| bootstrap(tx, data_key, key).boxed()).await?;
        match &outcome {
            Bootstrap::Created => vault.add_data_key(&data_key)?,
            // Somebody else may have made it since this store was opened, and with another master key.
            Bootstrap::Existing(workspace) => vault.learn(workspace).await?,
        }
        Ok(outcome)
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let input = (self.desk.vault.clone(), *hash);
        self.read(Lane::Api, "find_key", input, |link, (vault, hash)| find_key(link, vault, hash).boxed()).await
    }

    async fn create_key(&self, workspace: &WorkspaceId, key: NewKey) -> Result<ApiKey, StoreError> {
        let input = (workspace.clone(), key);
        self.write(Lane::Api, "create_key", input, |tx, (workspace, key)| insert_key(tx, workspace, key).boxed()).await
    }

    async fn list_keys(&self, workspace: &WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        self.read(Lane::Api, "list_keys", workspace.clone(), |link, workspace| list_keys(link, workspace).boxed()).await
    }

    async fn revoke_key(&self, workspace: &WorkspaceId, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        let input = (workspace.clone(), id.clone());
        self.write(Lane::Api, "revoke_key", input, |tx, (workspace, id)| revoke_key(tx, workspace, id).boxed()).await
    }
}

async fn bootstrap(tx: &mut Tx, data_key: &WrappedKey, key: &NewKey) -> Result<Bootstrap, Halt> {
    lock_first_start(tx).await?;
    let oldest = tx.read_optional(sqlx::query("SELECT id FROM workspaces ORDER BY created_at, id LIMIT 1")).await?;
    if let Some(row) = oldest {
        let fields = Fields::new(&row, "workspaces", "id")?;
        return Ok(Bootstrap::Existing(fields.parse("id", WorkspaceId::parse)?));
    }
    let statement = sqlx::query("INSERT INTO workspaces (id, created_at) VALUES ($1, $2)")
        .bind(data_key.workspace.as_str())
        .bind(tx.now.as_micros());
    tx.change(statement).await?;
    data_keys::insert(tx, data_key, true).await?;
    insert_key(tx, &data_key.workspace, key).await?;
    Ok(Bootstrap::Created)
}

async fn insert_key(tx: &mut Tx, workspace: &WorkspaceId, key: &NewKey) -> Result<ApiKey, Halt> {
    let statement = sqlx::query("INSERT INTO api_keys (id, workspace_id, name, hash, created_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(key.id.as_str())
        .bind(workspace.as_str())
        .bind(key.name.as_str())
        .bind(key.hash.as_slice())
        .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(ApiKey { id: key.id.clone(), workspace: workspace.clone(), name: key.name.clone(), created_at: tx.now, revoked_at: None })
}

async fn find_key(link: &mut Link, vault: &Vault, hash: &[u8; 32]) -> Result<Option<ApiKey>, Halt> {
    let statement = sqlx::query(FIND_LIVE_KEY).bind(hash.as_slice());
    link.read_optional(statement).await?.as_ref().map(|row| read_live_key(row, vault)).transpose()
}

async fn list_keys(link: &mut Link, workspace: &WorkspaceId) -> Result<Vec<ApiKey>, Halt> {
    let statement =
        sqlx::query("SELECT * FROM api_keys WHERE workspace_id = $1 ORDER BY created_at, seq").bind(workspace.as_str());
    link.read_all(statement).await?.iter().map(|row| read_key(row)).collect()
}

async fn revoke_key(tx: &mut Tx, workspace: &WorkspaceId, id: &KeyId) -> Result<Option<ApiKey>, Halt> {
    let statement =
        sqlx::query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE workspace_id = $1 AND id = $2 RETURNING *")
            .bind(workspace.as_str())
            .bind(id.as_str())
            .bind(tx.now.as_micros());
    tx.change_one(statement).await?.as_ref().map(|row| read_key(row)).transpose()
}
