//! Data keys as rows: read when the database is opened, and again when the vault meets one that it does not know.

use async_trait::async_trait;
use keywright_domain::WorkspaceId;
use sqlx::PgConnection;

use super::link::Link;
use super::pools::{Lane, Pools};
use super::transaction::Tx;
use crate::halt::{Halt, InMethod as _};
use crate::row::data_keys::{read_data_key, read_standing};
use crate::vault::KeySource;
use crate::{StoreError, WrappedKey};

const LIST: &str = "SELECT * FROM data_keys ORDER BY workspace_id, version";

/// The table, for a vault that meets a key that it does not know.
pub(super) struct DataKeyTable {
    pools: Pools,
}

impl DataKeyTable {
    /// The table behind these pools.
    pub(super) const fn new(pools: Pools) -> Self {
        Self { pools }
    }

    async fn list_of(&self, workspace: &WorkspaceId) -> Result<Vec<WrappedKey>, Halt> {
        let mut link = Link::new(self.pools.acquire(Lane::Api).await?, false);
        let keys = list(&mut link).await?;
        Ok(keys.into_iter().filter(|key| key.workspace == *workspace).collect())
    }
}

#[async_trait]
impl KeySource for DataKeyTable {
    async fn data_keys(&self, workspace: &WorkspaceId) -> Result<Vec<WrappedKey>, StoreError> {
        self.list_of(workspace).await.in_method("data_keys")
    }
}

/// The keys of all workspaces. Sent as one message, so that it needs no transaction behind a pooler.
pub(super) async fn list(link: &mut Link) -> Result<Vec<WrappedKey>, Halt> {
    link.simple(LIST).await?.iter().map(|row| read_data_key(row)).collect()
}

/// The same, each with whether its rotation is settled.
pub(super) async fn list_standing(link: &mut Link) -> Result<Vec<(WrappedKey, bool)>, Halt> {
    link.simple(LIST).await?.iter().map(|row| read_standing(row)).collect()
}

/// The keys, on a connection of one's own.
pub(super) async fn list_at_start(connection: &mut PgConnection) -> Result<Vec<WrappedKey>, StoreError> {
    let rows = sqlx::query(LIST).fetch_all(connection).await.map_err(Halt::from);
    rows.and_then(|rows| rows.iter().map(|row| read_data_key(row)).collect()).in_method("list_data_keys")
}

/// Stores a key. `is_settled` says that there is nothing that an older key has sealed.
pub(super) async fn insert(tx: &mut Tx, key: &WrappedKey, is_settled: bool) -> Result<(), Halt> {
    let statement =
        sqlx::query("INSERT INTO data_keys (workspace_id, version, wrapped, created_at, settled_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(key.workspace.as_str())
            .bind(i64::from(key.version.get()))
            .bind(key.wrapped.as_slice())
            .bind(tx.now.as_micros())
            .bind(is_settled.then_some(tx.now.as_micros()));
    tx.change(statement).await?;
    Ok(())
}
