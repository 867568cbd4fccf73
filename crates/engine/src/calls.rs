//! What user code may ask of the platform during its attempt: its project's persistent values, and files to be kept.
//!
//! Each call is for one workspace and project, which the engine decides and user code cannot name. Refuses keys, values and
//! files over their limits. If the process dies between the two steps of storing a file, its bytes are garbage and no link
//! to them was ever handed out.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{FileId, ProjectId, StoredFileLink, WorkspaceId};
use keywright_store::{BlobError, BlobKey, StoreError, StoredFile};
use serde_json::Value;
use thiserror::Error;

use crate::shared::Shared;

/// Longest key of a persistent value.
const MAX_KEY_BYTES: usize = 1_024;

/// Largest persistent value, as JSON; the same as a result's.
const MAX_VALUE_BYTES: usize = 2 * 1024 * 1024;

/// Largest file, which is held in memory while it is sealed.
const MAX_FILE_BYTES: usize = 100 * 1024 * 1024;

/// Longest name of a file, as file systems have it.
const MAX_FILE_NAME_BYTES: usize = 255;

/// Longest media type.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// How long a link to a stored file works.
const LINK_LIFETIME_S: i64 = 7 * 24 * 60 * 60;

/// Why a call was not served. The text may be shown to user code.
#[derive(Debug, Error)]
pub enum CallError {
    /// The caller asked for what it cannot have. Completes "the call was refused: …".
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error("the platform's store is not available")]
    Store(#[from] StoreError),
    /// The blob store failed.
    #[error("the platform's file store is not available")]
    Blob(#[from] BlobError),
}

/// The platform as an attempt's user code can reach it.
#[async_trait]
pub trait UserCalls: Debug + Send + Sync {
    /// The persistent value under a key.
    async fn get_value(&self, key: &str) -> Result<Option<Value>, CallError>;

    /// Sets the persistent value under a key.
    async fn set_value(&self, key: &str, value: Value) -> Result<(), CallError>;

    /// Keeps a file.
    async fn store_file(&self, name: &str, content_type: Option<&str>, bytes: Bytes) -> Result<StoredFileLink, CallError>;
}

/// The calls of one project's user code.
#[derive(Debug)]
pub(crate) struct ProjectCalls {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) project: ProjectId,
}

#[async_trait]
impl UserCalls for ProjectCalls {
    async fn get_value(&self, key: &str) -> Result<Option<Value>, CallError> {
        check_key(key)?;
        Ok(self.shared.store.get_value(&self.workspace, &self.project, key).await?)
    }

    async fn set_value(&self, key: &str, value: Value) -> Result<(), CallError> {
        check_key(key)?;
        let size_bytes = value.to_string().len();
        if size_bytes > MAX_VALUE_BYTES {
            return Err(CallError::Refused(format!("the value has {size_bytes} bytes, and {MAX_VALUE_BYTES} are the most")));
        }
        Ok(self.shared.store.set_value(&self.workspace, &self.project, key, value).await?)
    }

    async fn store_file(&self, name: &str, content_type: Option<&str>, bytes: Bytes) -> Result<StoredFileLink, CallError> {
        check_file(name, content_type, bytes.len())?;
        let id = FileId::from_entropy(self.shared.entropy.bytes());
        let (blob, now) = (BlobKey::file(&id), self.shared.clock.now());
        let size_bytes = bytes.len() as u64;
        self.shared.blobs.put(&self.workspace, &blob, bytes).await?;
        let file = StoredFile {
            id: id.clone(),
            workspace: self.workspace.clone(),
            project: self.project.clone(),
            name: name.to_owned(),
            content_type: content_type.map(str::to_owned),
            size_bytes,
            blob,
            created_at: now,
        };
        self.shared.store.insert_file(file).await?;
        let read_url = self.shared.links.link(&id, now.plus_seconds(LINK_LIFETIME_S));
        Ok(StoredFileLink { id, read_url })
    }
}

fn check_key(key: &str) -> Result<(), CallError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(CallError::Refused(format!("a key has 1 to {MAX_KEY_BYTES} bytes")));
    }
    Ok(())
}

fn check_file(name: &str, content_type: Option<&str>, size_bytes: usize) -> Result<(), CallError> {
    // The name and the type go into headers when the file is downloaded.
    let is_header_text = |text: &str, max: usize| !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control);
    if !is_header_text(name, MAX_FILE_NAME_BYTES) || name.contains('/') {
        return Err(CallError::Refused(format!(
            "a file's name has 1 to {MAX_FILE_NAME_BYTES} bytes, no slash and no control characters"
        )));
    }
    if content_type.is_some_and(|text| !is_header_text(text, MAX_CONTENT_TYPE_BYTES)) {
        return Err(CallError::Refused("the content type is none".to_owned()));
    }
    if size_bytes > MAX_FILE_BYTES {
        return Err(CallError::Refused(format!("the file has {size_bytes} bytes, and {MAX_FILE_BYTES} are the most")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_offered_again_is_refused() {
        let long = "x".repeat(MAX_FILE_NAME_BYTES + 1);
        for (name, content_type, size_bytes, ok) in [
            ("invoice 1.pdf", Some("application/pdf"), 10, true),
            ("", None, 10, false),
            ("../x", None, 10, false),
            ("a\r\nx-header: 1", None, 10, false),
            (long.as_str(), None, 10, false),
            ("a", Some("text/html\r\nx: 1"), 10, false),
            ("a", None, MAX_FILE_BYTES + 1, false),
        ] {
            assert_eq!(check_file(name, content_type, size_bytes).is_ok(), ok, "{name} {content_type:?}");
        }
        assert!(check_key("").is_err() && check_key("a/b c").is_ok());
    }
}
