//! The blobs that rows name.

use async_trait::async_trait;
use futures::FutureExt as _;

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use crate::halt::Halt;
use crate::row::inventory::{list_named, read_named};
use crate::{Inventory, NamedBlob, NamedBy, StoreError};

#[async_trait]
impl Inventory for PostgresStore {
    async fn list_named_blobs(&self, by: NamedBy, after: &str, limit: u32) -> Result<Vec<NamedBlob>, StoreError> {
        let input = (by, after.to_owned(), limit);
        self.read(Lane::Api, "list_named_blobs", input, |link, (by, after, limit)| list(link, *by, after, *limit).boxed()).await
    }
}

async fn list(link: &mut Link, by: NamedBy, after: &str, limit: u32) -> Result<Vec<NamedBlob>, Halt> {
    let statement = sqlx::query(list_named(by)).bind(after.to_owned()).bind(i64::from(limit));
    link.read_all(statement).await?.iter().map(|row| read_named(by, row)).collect()
}
