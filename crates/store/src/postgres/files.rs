//! Stored files as rows; their bytes lie in the blob store.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::FileId;

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use super::transaction::Tx;
use crate::halt::Halt;
use crate::row::files::read_file;
use crate::row::history::ArtifactKind;
use crate::{Files, StoreError, StoredFile};

#[async_trait]
impl Files for PostgresStore {
    async fn insert_file(&self, file: StoredFile) -> Result<(), StoreError> {
        self.write(Lane::Engine, "insert_file", file, |tx, file| insert(tx, file).boxed()).await
    }

    async fn get_file(&self, id: &FileId) -> Result<Option<StoredFile>, StoreError> {
        self.read(Lane::Api, "get_file", id.clone(), |link, id| get(link, id).boxed()).await
    }
}

async fn insert(tx: &mut Tx, file: &StoredFile) -> Result<(), Halt> {
    let size_bytes = i64::try_from(file.size_bytes).map_err(|_| Halt::Misuse("a file of more than 8 EiB"))?;
    let statement = sqlx::query(
        "INSERT INTO files (id, workspace_id, project_id, name, content_type, size_bytes, blob, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(file.id.as_str())
    .bind(file.workspace.as_str())
    .bind(file.project.as_str())
    .bind(file.name.as_str())
    .bind(file.content_type.as_deref())
    .bind(size_bytes)
    .bind(file.blob.as_str())
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    let statement = sqlx::query(
        "INSERT INTO artifacts (workspace_id, project_id, kind, blob, size_bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(file.workspace.as_str())
    .bind(file.project.as_str())
    .bind(ArtifactKind::File.as_str())
    .bind(file.blob.as_str())
    .bind(size_bytes)
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(())
}

async fn get(link: &mut Link, id: &FileId) -> Result<Option<StoredFile>, Halt> {
    let statement = sqlx::query("SELECT * FROM files WHERE id = $1").bind(id.as_str());
    link.read_optional(statement).await?.as_ref().map(|row| read_file(row)).transpose()
}
