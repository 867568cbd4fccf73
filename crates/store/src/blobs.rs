//! Bytes too large for a database: archives, logs, traces, files. Each is sealed with its workspace's data key.
//!
//! A blob is written whole under a key that is never reused, so a reader sees all of it or nothing. If the process dies
//! while writing, the backend's temporary file is all that is left; a blob whose row was never committed is garbage, not
//! damage.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use keywright_domain::{AttemptId, DeploymentId, FileId, WorkspaceId};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path};
use thiserror::Error;

use crate::{Place, Vault, VaultError};

/// What can go wrong with a blob.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The backend failed.
    #[error("the blob store is not available")]
    Backend(#[from] object_store::Error),
    /// The blob does not open.
    #[error("a blob cannot be opened")]
    Sealed(#[from] VaultError),
    /// The folder cannot be made.
    #[error("the blob folder cannot be used")]
    Folder(#[source] std::io::Error),
    /// Not a key that we would make.
    #[error("not a blob key")]
    BadKey,
}

/// The name of a blob: parts of letters, digits, `-`, `_` and `.`, joined by `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// Of an uploaded archive.
    #[must_use]
    pub fn archive(deployment: &DeploymentId) -> Self {
        Self(format!("deployments/{deployment}.tar.gz"))
    }

    /// Of an attempt's log.
    #[must_use]
    pub fn log(attempt: &AttemptId) -> Self {
        Self(format!("attempts/{}/{}.log.jsonl", attempt.run, attempt.number.get()))
    }

    /// Of an attempt's cleaned trace.
    #[must_use]
    pub fn trace(attempt: &AttemptId) -> Self {
        Self(format!("attempts/{}/{}.trace.zip", attempt.run, attempt.number.get()))
    }

    /// Of a file that user code stored.
    #[must_use]
    pub fn file(file: &FileId) -> Self {
        Self(format!("files/{file}"))
    }

    /// Reads a stored key.
    ///
    /// # Errors
    /// When it could name anything outside the store.
    pub fn parse(text: &str) -> Result<Self, BlobError> {
        let part_ok = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if text.len() <= 512 && text.split('/').all(part_ok) { Ok(Self(text.to_owned())) } else { Err(BlobError::BadKey) }
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The blob store.
#[derive(Clone, Debug)]
pub struct Blobs {
    backend: Arc<dyn ObjectStore>,
    vault: Vault,
}

impl Blobs {
    /// A store in a folder, which is made if there is none.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn in_folder(folder: &Path, vault: Vault) -> Result<Self, BlobError> {
        std::fs::create_dir_all(folder).map_err(BlobError::Folder)?;
        Ok(Self { backend: Arc::new(LocalFileSystem::new_with_prefix(folder)?), vault })
    }

    /// Stores bytes under a key that was not used before.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn put(&self, workspace: &WorkspaceId, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        let sealed = self.vault.seal(place(workspace, key), &bytes)?;
        self.backend.put(&location(workspace, key), PutPayload::from(sealed)).await?;
        Ok(())
    }

    /// The bytes under a key.
    ///
    /// # Errors
    /// See [`BlobError`]. A blob that does not open is an error, never other bytes.
    pub async fn get(&self, workspace: &WorkspaceId, key: &BlobKey) -> Result<Option<Bytes>, BlobError> {
        let sealed = match self.backend.get(&location(workspace, key)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(self.vault.open(place(workspace, key), &sealed)?.into()))
    }

    /// Removes a blob; one that is not there is fine.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn delete(&self, workspace: &WorkspaceId, key: &BlobKey) -> Result<(), BlobError> {
        match self.backend.delete(&location(workspace, key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn location(workspace: &WorkspaceId, key: &BlobKey) -> path::Path {
    path::Path::from(format!("{workspace}/{}", key.as_str()))
}

fn place<'a>(workspace: &'a WorkspaceId, key: &'a BlobKey) -> Place<'a> {
    Place { workspace, table: "blob", column: "bytes", row: key.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::{AttemptNumber, RunId};

    #[test]
    fn the_keys_we_make_are_keys_that_we_read() {
        let attempt = AttemptId { run: RunId::from_entropy([0; 21]), number: AttemptNumber::new(7).unwrap() };
        let file = BlobKey::file(&FileId::from_entropy([1; 21]));
        let archive = BlobKey::archive(&DeploymentId::from_entropy([0; 21]));
        for key in [file, archive, BlobKey::log(&attempt), BlobKey::trace(&attempt)] {
            assert_eq!(BlobKey::parse(key.as_str()).unwrap(), key);
        }
        assert!(BlobKey::parse("../x").is_err() && BlobKey::parse("a//b").is_err() && BlobKey::parse("").is_err());
    }
}
