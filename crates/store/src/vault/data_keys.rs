//! Data keys: what seals a workspace's values. A workspace has one for each rotation; the newest seals, all of them open.
//!
//! Refuses to seal with a key that was not read back from where it is stored: what a lost key sealed would be lost as well.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chacha20poly1305::XChaCha20Poly1305;
use keywright_domain::WorkspaceId;

use crate::StoreError;

/// Which of a workspace's data keys. The first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(u32);

impl KeyVersion {
    /// Of the key that a workspace is made with.
    pub const FIRST: Self = Self(1);

    /// A version, unless it is 0.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Of the key that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A data key as it is stored: sealed with a master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which of theirs.
    pub version: KeyVersion,
    /// The key, sealed.
    pub wrapped: Vec<u8>,
}

/// Where data keys are stored. A backend makes itself known to its vault as one (see [`super::Vault::set_source`]).
#[async_trait]
pub(crate) trait KeySource: Send + Sync {
    /// All data keys of a workspace; none if there is no such workspace.
    async fn data_keys(&self, workspace: &WorkspaceId) -> Result<Vec<WrappedKey>, StoreError>;
}

/// The opened data keys of one workspace.
#[derive(Default)]
pub(super) struct Opened(BTreeMap<KeyVersion, XChaCha20Poly1305>);

impl Opened {
    pub(super) fn insert(&mut self, version: KeyVersion, cipher: XChaCha20Poly1305) {
        self.0.insert(version, cipher);
    }

    pub(super) fn get(&self, version: KeyVersion) -> Option<XChaCha20Poly1305> {
        self.0.get(&version).cloned()
    }

    pub(super) fn newest(&self) -> Option<(KeyVersion, XChaCha20Poly1305)> {
        self.0.last_key_value().map(|(version, cipher)| (*version, cipher.clone()))
    }
}
