//! Stored files as rows; their bytes lie in the blob store.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{FileId, Timestamp};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use crate::halt::{Halt, InMethod as _};
use crate::row::files::read_file;
use crate::row::history::ArtifactKind;
use crate::{Files, StoreError, StoredFile};

#[async_trait]
impl Files for SqliteStore {
    async fn insert_file(&self, file: StoredFile) -> Result<(), StoreError> {
        self.write("insert_file", move |tx, now| insert(tx, file, now).boxed()).await
    }

    async fn get_file(&self, id: &FileId) -> Result<Option<StoredFile>, StoreError> {
        get(&self.readers, id).await.in_method("get_file")
    }
}

async fn insert(tx: &mut SqliteConnection, file: StoredFile, now: Timestamp) -> Result<(), Halt> {
    let size_bytes = i64::try_from(file.size_bytes).map_err(|_| Halt::Misuse("a file of more than 8 EiB"))?;
    sqlx::query(
        "INSERT INTO files (id, workspace_id, project_id, name, content_type, size_bytes, blob, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(file.id.as_str())
    .bind(file.workspace.as_str())
    .bind(file.project.as_str())
    .bind(file.name)
    .bind(file.content_type)
    .bind(size_bytes)
    .bind(file.blob.as_str())
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO artifacts (workspace_id, project_id, kind, blob, size_bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(file.workspace.as_str())
    .bind(file.project.as_str())
    .bind(ArtifactKind::File.as_str())
    .bind(file.blob.as_str())
    .bind(size_bytes)
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

async fn get(readers: &SqlitePool, id: &FileId) -> Result<Option<StoredFile>, Halt> {
    let row = sqlx::query("SELECT * FROM files WHERE id = $1").bind(id.as_str()).fetch_optional(readers).await?;
    row.as_ref().map(|row| read_file(row)).transpose()
}
