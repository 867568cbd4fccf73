//! Bytes too large for a database: archives, logs, traces, files; in a folder, or in S3 where several machines need them.
//! Each is sealed with its workspace's data key.
//!
//! A blob is written whole under a key that is never reused, so a reader sees all of it or nothing, and it is on disk (or
//! with S3) before [`Blobs::put`] returns. If the process dies while writing, the backend's temporary file is all that is
//! left; a blob whose row was never committed is garbage, not damage.

mod inventory;
mod s3;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use keywright_domain::{AttemptId, DeploymentId, FileId, WorkspaceId};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path};
use thiserror::Error;

pub use self::inventory::StoredObject;
pub use self::s3::S3Options;
use crate::{Entropy, Place, StoreError, Vault, VaultError};

/// What can go wrong with a blob.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The backend does not answer, or is full. Trying later can help.
    #[error("the blob store is not available")]
    Unavailable(#[source] object_store::Error),
    /// The backend refuses us: wrong credentials, no permission, no such bucket. Only an operator can help.
    #[error("the blob store refuses access")]
    Refused(#[source] object_store::Error),
    /// The blob does not open.
    #[error("a blob cannot be opened")]
    Sealed(#[from] VaultError),
    /// The key that a blob needs cannot be had.
    #[error("the key of a blob cannot be read")]
    Key(#[source] Box<StoreError>),
    /// The folder cannot be made.
    #[error("the blob folder cannot be used")]
    Folder(#[source] std::io::Error),
    /// The backend gave back other bytes than it was given.
    #[error("the blob store does not keep what it is given")]
    Unfaithful,
    /// Not a key that we would make.
    #[error("not a blob key")]
    BadKey,
}

impl BlobError {
    /// Whether the same call can succeed later without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Key(error) => matches!(error.as_ref(), StoreError::Unavailable(_)),
            Self::Refused(_) | Self::Sealed(_) | Self::Folder(_) | Self::Unfaithful | Self::BadKey => false,
        }
    }
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error;

        let is_refusal = matches!(
            error,
            Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::NotFound { .. }
                | Error::InvalidPath { .. }
                | Error::NotSupported { .. }
                | Error::NotImplemented { .. }
                | Error::UnknownConfigurationKey { .. }
        );
        if is_refusal { Self::Refused(error) } else { Self::Unavailable(error) }
    }
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
        let make = || {
            std::fs::create_dir_all(folder)?;
            // The folder's own name has to survive too, and it may have been made by an earlier life that died here.
            folder.parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all())
        };
        make().map_err(BlobError::Folder)?;
        // A row may name the blob as soon as it is written, and the row survives a power cut; so must the blob.
        let backend = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { backend: Arc::new(backend), vault })
    }

    /// A store in memory, which is gone with its last clone: for what is simulated.
    #[must_use]
    pub fn in_memory(vault: Vault) -> Self {
        Self { backend: Arc::new(InMemory::new()), vault }
    }

    /// A store in an S3 bucket. Nothing is asked of it yet; see [`Self::check`].
    ///
    /// # Errors
    /// When the options make no sense together.
    pub fn in_s3(options: &S3Options, vault: Vault) -> Result<Self, BlobError> {
        Ok(Self { backend: s3::connect(options)?, vault })
    }

    /// Whether blobs can be written, read and removed now.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn check(&self, entropy: &dyn Entropy) -> Result<(), BlobError> {
        // Outside every workspace, under a name that no other check uses.
        let (name, bytes) = (FileId::from_entropy(entropy.bytes()), Bytes::copy_from_slice(&entropy.bytes::<64>()));
        let location = path::Path::from(format!("checks/{name}"));
        self.backend.put(&location, PutPayload::from(bytes.clone())).await?;
        let found = self.backend.get(&location).await?.bytes().await?;
        self.backend.delete(&location).await?;
        if found == bytes { Ok(()) } else { Err(BlobError::Unfaithful) }
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
        let Some(sealed) = self.get_sealed(workspace, key).await? else { return Ok(None) };
        let opened = match self.vault.open(place(workspace, key), &sealed) {
            // It was sealed with a key that came meanwhile.
            Err(error) if error.is_unknown_key() => {
                self.vault.learn(workspace).await.map_err(|error| BlobError::Key(Box::new(error)))?;
                self.vault.open(place(workspace, key), &sealed)
            }
            other => other,
        };
        Ok(Some(opened?.into()))
    }

    /// Removes a blob; one that is not there is fine.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn delete(&self, workspace: &WorkspaceId, key: &BlobKey) -> Result<(), BlobError> {
        match self.backend.delete(&location(workspace, key)).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the blob is not there, and not the whole store.
fn is_absent(error: &object_store::Error) -> bool {
    // S3 answers 404 for both, and only the body tells them apart.
    matches!(error, object_store::Error::NotFound { source, .. } if !source.to_string().contains("NoSuchBucket"))
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
    use crate::{MasterKey, SystemEntropy};
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

    #[tokio::test]
    async fn a_folder_is_checked_without_leaving_anything() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(MasterKey::from_bytes([3; 32]), Arc::new(SystemEntropy));
        let blobs = Blobs::in_folder(folder.path(), vault).unwrap();
        blobs.check(&SystemEntropy).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_bucket_that_nobody_serves_is_told_as_such_and_soon() {
        // A port that was free a moment ago and that nobody listens on.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let vault = Vault::new(MasterKey::from_bytes([3; 32]), Arc::new(SystemEntropy));
        let blobs = Blobs::in_s3(&S3Options::of_test(&format!("http://127.0.0.1:{port}")), vault).unwrap();
        let error = blobs.check(&SystemEntropy).await.unwrap_err();
        assert!(matches!(error, BlobError::Unavailable(_)) && error.is_retryable(), "{error:?}");
        assert!(!format!("{error:?}").contains("the-secret-key"));
    }
}
