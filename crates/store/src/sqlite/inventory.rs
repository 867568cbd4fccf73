//! The blobs that rows name.

use async_trait::async_trait;
use sqlx::SqliteExecutor;

use super::SqliteStore;
use crate::halt::{Halt, InMethod as _};
use crate::row::inventory::{list_named, read_named};
use crate::{Inventory, NamedBlob, NamedBy, StoreError};

#[async_trait]
impl Inventory for SqliteStore {
    async fn list_named_blobs(&self, by: NamedBy, after: &str, limit: u32) -> Result<Vec<NamedBlob>, StoreError> {
        list(&self.readers, by, after, limit).await.in_method("list_named_blobs")
    }
}

pub(super) async fn list(
    connection: impl SqliteExecutor<'_>,
    by: NamedBy,
    after: &str,
    limit: u32,
) -> Result<Vec<NamedBlob>, Halt> {
    let rows = sqlx::query(list_named(by)).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.iter().map(|row| read_named(by, row)).collect()
}
