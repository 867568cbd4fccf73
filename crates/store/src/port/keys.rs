//! API keys. The store holds hashes; the key itself is shown once by whoever made it.

use async_trait::async_trait;
use keywright_domain::{KeyId, Timestamp, WorkspaceId};

use crate::StoreError;

/// A key to be stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its public identity.
    pub id: KeyId,
    /// A name for people.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
}

/// A stored key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public identity.
    pub id: KeyId,
    /// The workspace it belongs to, and the only one it opens.
    pub workspace: WorkspaceId,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked; it is worth nothing since.
    pub revoked_at: Option<Timestamp>,
}

/// Whether the first workspace had to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// The workspace and the key that were offered are now stored.
    Created,
    /// There was a workspace already; the offered one was not used.
    Existing(WorkspaceId),
}

/// Keys and the workspaces they belong to.
#[async_trait]
pub trait Keys {
    /// At the very first start, stores a workspace and its first key; later, tells the workspace there is.
    async fn bootstrap(&self, workspace: &WorkspaceId, key: NewKey, now: Timestamp) -> Result<Bootstrap, StoreError>;

    /// The live key with this hash.
    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError>;

    /// Stores a key.
    async fn create_key(&self, workspace: &WorkspaceId, key: NewKey, now: Timestamp) -> Result<ApiKey, StoreError>;

    /// All keys of the workspace, revoked ones included, oldest first.
    async fn list_keys(&self, workspace: &WorkspaceId) -> Result<Vec<ApiKey>, StoreError>;

    /// Revokes a key at once. Returns the key, or nothing if the workspace has none of this id. Revoking twice keeps the
    /// first moment.
    async fn revoke_key(&self, workspace: &WorkspaceId, id: &KeyId, now: Timestamp) -> Result<Option<ApiKey>, StoreError>;
}
