//! Files that user code stored: rows here, bytes in the blob store.

use async_trait::async_trait;
use keywright_domain::{FileId, ProjectId, Timestamp, WorkspaceId};

use crate::{BlobKey, StoreError};

/// A stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its identity.
    pub id: FileId,
    /// Its tenant.
    pub workspace: WorkspaceId,
    /// Its project.
    pub project: ProjectId,
    /// The name to offer when it is downloaded.
    pub name: String,
    /// Its media type, as user code said.
    pub content_type: Option<String>,
    /// Its size.
    pub size_bytes: u64,
    /// Where its bytes lie.
    pub blob: BlobKey,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// Stored files.
#[async_trait]
pub trait Files {
    /// Stores the row of a file whose bytes are stored already. The moment that is stored is the database's, whatever the row says.
    async fn insert_file(&self, file: StoredFile) -> Result<(), StoreError>;

    /// A file by its identity alone; whoever asks has proved its right by a signed link.
    async fn get_file(&self, id: &FileId) -> Result<Option<StoredFile>, StoreError>;
}
