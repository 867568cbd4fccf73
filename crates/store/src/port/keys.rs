//! API keys. The store holds hashes; the key itself is shown once by whoever made it.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_domain::{KeyId, Secret, Timestamp, WorkspaceId};
use sha2::{Digest as _, Sha256};

use crate::{Entropy, StoreError};

/// Bytes of entropy in a key.
const KEY_BYTES: usize = 32;

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

impl NewKey {
    /// A key of that name that nobody can guess, and what is stored of it. The key itself is in no other place.
    #[must_use]
    pub fn generate(name: String, entropy: &dyn Entropy) -> (Self, Secret<String>) {
        let key = format!("kw_{}", URL_SAFE_NO_PAD.encode(entropy.bytes::<KEY_BYTES>()));
        (Self { id: KeyId::from_entropy(entropy.bytes()), name, hash: ApiKey::hash(&key) }, Secret::new(key))
    }
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

impl ApiKey {
    /// The stored form of a key that somebody shows.
    #[must_use]
    pub fn hash(shown: &str) -> [u8; 32] {
        Sha256::digest(shown.as_bytes()).into()
    }
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
    async fn bootstrap(&self, workspace: &WorkspaceId, key: NewKey) -> Result<Bootstrap, StoreError>;

    /// The live key with this hash.
    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError>;

    /// Stores a key.
    async fn create_key(&self, workspace: &WorkspaceId, key: NewKey) -> Result<ApiKey, StoreError>;

    /// All keys of the workspace, revoked ones included, oldest first.
    async fn list_keys(&self, workspace: &WorkspaceId) -> Result<Vec<ApiKey>, StoreError>;

    /// Revokes a key at once. Returns the key, or nothing if the workspace has none of this id. Revoking twice keeps the
    /// first moment.
    async fn revoke_key(&self, workspace: &WorkspaceId, id: &KeyId) -> Result<Option<ApiKey>, StoreError>;
}
