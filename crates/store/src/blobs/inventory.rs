//! What lies in the blob store, for backups and audits: blobs as they are stored, and lists of them.
//!
//! Nothing is opened here, so nothing here needs a key.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use keywright_domain::{Timestamp, WorkspaceId};
use object_store::ObjectStoreExt as _;

use super::{BlobError, BlobKey, Blobs, is_absent, location};

/// An object as it lies in the store, ours or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its path below the store.
    pub path: String,
    /// How large it is, sealed.
    pub size_bytes: u64,
    /// When it was written.
    pub modified_at: Timestamp,
}

impl Blobs {
    /// The path of a blob below the store, as [`StoredObject::path`] has it.
    #[must_use]
    pub fn path(workspace: &WorkspaceId, key: &BlobKey) -> String {
        location(workspace, key).to_string()
    }

    /// A blob as it is stored, still sealed.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn get_sealed(&self, workspace: &WorkspaceId, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        match self.backend.get(&location(workspace, key)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is such a blob.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn exists(&self, workspace: &WorkspaceId, key: &BlobKey) -> Result<bool, BlobError> {
        match self.backend.head(&location(workspace, key)).await {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything that lies in the store, in no order.
    #[must_use]
    pub fn list(&self) -> BoxStream<'_, Result<StoredObject, BlobError>> {
        let listed = self.backend.list(None).map(|object| {
            let object = object?;
            Ok(StoredObject {
                path: object.location.to_string(),
                size_bytes: object.size,
                modified_at: Timestamp::from_micros(object.last_modified.timestamp_micros()),
            })
        });
        listed.boxed()
    }
}
