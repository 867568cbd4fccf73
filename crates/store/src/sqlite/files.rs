//! Stored files as rows; their bytes lie in the blob store.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{FileId, ProjectId, WorkspaceId};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::halt::{Halt, InMethod as _};
use super::row::Fields;
use crate::{BlobKey, Files, StoreError, StoredFile};

#[async_trait]
impl Files for SqliteStore {
    async fn insert_file(&self, file: StoredFile) -> Result<(), StoreError> {
        self.write("insert_file", move |tx| insert(tx, file).boxed()).await
    }

    async fn get_file(&self, id: &FileId) -> Result<Option<StoredFile>, StoreError> {
        get(&self.readers, id).await.in_method("get_file")
    }
}

async fn insert(tx: &mut SqliteConnection, file: StoredFile) -> Result<(), Halt> {
    sqlx::query(
        "INSERT INTO files (id, workspace_id, project_id, name, content_type, size_bytes, blob, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(file.id.as_str())
    .bind(file.workspace.as_str())
    .bind(file.project.as_str())
    .bind(file.name)
    .bind(file.content_type)
    .bind(i64::try_from(file.size_bytes).map_err(|_| Halt::Misuse("a file of more than 8 EiB"))?)
    .bind(file.blob.as_str())
    .bind(file.created_at.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

async fn get(readers: &SqlitePool, id: &FileId) -> Result<Option<StoredFile>, Halt> {
    let row = sqlx::query("SELECT * FROM files WHERE id = $1").bind(id.as_str()).fetch_optional(readers).await?;
    let Some(row) = row else { return Ok(None) };
    let fields = Fields::new(&row, "files", "id")?;
    Ok(Some(StoredFile {
        id: fields.parse("id", FileId::parse)?,
        workspace: fields.parse("workspace_id", WorkspaceId::parse)?,
        project: fields.parse("project_id", ProjectId::parse)?,
        name: fields.get("name")?,
        content_type: fields.get("content_type")?,
        size_bytes: fields.count("size_bytes")?,
        blob: fields.parse("blob", BlobKey::parse)?,
        created_at: fields.timestamp("created_at")?,
    }))
}
