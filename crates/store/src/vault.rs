//! The vault: encrypts what must not lie in the clear, and opens it again.
//!
//! A master key wraps the data keys of every workspace; the newest data key of a workspace seals its values with
//! XChaCha20-Poly1305, and all of them open. Every sealed value names, as associated data, the workspace, table, column and
//! row it belongs to: moved anywhere else, it does not open. A value says which data key it needs, so keys can be rotated
//! while values are read; a key that the vault has not met is asked for where it is stored ([`Vault::learn`]).
//!
//! Refuses to guess: a wrong master key is an error at start, never a new key. If the process dies here, nothing was written.

mod data_keys;
mod key_file;
mod master;
mod sealing;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305};
use keywright_domain::WorkspaceId;
use thiserror::Error;
use zeroize::Zeroizing;

use self::data_keys::Opened;
use self::master::KEY_BYTES;
use crate::{Entropy, StoreError};

pub(crate) use self::data_keys::KeySource;
pub use self::data_keys::{KeyVersion, WrappedKey};
pub use self::master::{MasterKey, MasterKeys};
pub(crate) use self::sealing::{HEADER_BYTES, header};

/// What can be wrong with a key or a sealed value.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The key file cannot be read or written.
    #[error("the key file {path} cannot be used")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no key file.
    #[error("there is no key file {0}")]
    NoKeyFile(PathBuf),
    /// The key file does not hold keys, one a line.
    #[error("the key file {0} does not hold a key")]
    NotAKey(PathBuf),
    /// Others may read the key file.
    #[error("the key file {0} can be read by others; it must have mode 0600")]
    KeyFileOpen(PathBuf),
    /// Somebody else changes the key file.
    #[error("the key file {0} is being changed by somebody else")]
    KeyFileBusy(PathBuf),
    /// Keys that are in no file cannot be rotated.
    #[error("these keys are in no file")]
    NotInAFile,
    /// A value does not open: another key, another place, or damaged.
    #[error("a sealed value does not open; is this the key that the data was written with?")]
    DoesNotOpen,
    /// A workspace whose data keys were never loaded.
    #[error("no data key for this workspace")]
    UnknownWorkspace,
    /// A data key that was not there when the workspace's were loaded.
    #[error("the data key {} of this workspace is not known", .0.get())]
    UnknownKey(KeyVersion),
}

impl VaultError {
    /// Whether asking for the workspace's data keys again can help.
    #[must_use]
    pub const fn is_unknown_key(&self) -> bool {
        match self {
            Self::UnknownWorkspace | Self::UnknownKey(_) => true,
            Self::KeyFile { .. }
            | Self::NoKeyFile(_)
            | Self::NotAKey(_)
            | Self::KeyFileOpen(_)
            | Self::KeyFileBusy(_)
            | Self::NotInAFile
            | Self::DoesNotOpen => false,
        }
    }
}

/// Where a sealed value lives; part of what it is sealed with.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The tenant.
    pub workspace: &'a WorkspaceId,
    /// The table, or `blob`.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row.
    pub row: &'a str,
}

impl Place<'_> {
    fn associated_data(&self) -> Vec<u8> {
        // Length-prefixed, so that no two places have the same bytes.
        let mut data = Vec::new();
        for part in [self.workspace.as_str(), self.table, self.column, self.row] {
            data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

/// Seals and opens values with the data keys of the workspaces it was told of. Clones share them.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    masters: MasterKeys,
    entropy: Arc<dyn Entropy>,
    data_keys: RwLock<HashMap<WorkspaceId, Opened>>,
    source: RwLock<Option<Arc<dyn KeySource>>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(***)")
    }
}

impl Vault {
    /// A vault that knows no workspace yet.
    #[must_use]
    pub fn new(masters: impl Into<MasterKeys>, entropy: Arc<dyn Entropy>) -> Self {
        let (data_keys, source) = (RwLock::default(), RwLock::default());
        Self { inner: Arc::new(Inner { masters: masters.into(), entropy, data_keys, source }) }
    }

    /// The keys that wrap the data keys.
    #[must_use]
    pub fn masters(&self) -> &MasterKeys {
        &self.inner.masters
    }

    /// Makes a data key up and wraps it with the current master key. It seals nothing before it was stored and then handed to
    /// [`Self::add_data_key`].
    #[must_use]
    pub fn new_data_key(&self, workspace: &WorkspaceId, version: KeyVersion) -> WrappedKey {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.inner.entropy.fill(key.as_mut_slice());
        self.wrap(workspace, version, &key)
    }

    /// The same data key wrapped by the current master key; nothing when it is already.
    ///
    /// # Errors
    /// When no master key opens it.
    pub fn rewrap(&self, key: &WrappedKey) -> Result<Option<WrappedKey>, VaultError> {
        if unwrap(key, &self.inner.masters.current()).is_ok() {
            return Ok(None);
        }
        let opened = self.unwrap_with_any(key)?;
        Ok(Some(self.wrap(&key.workspace, key.version, &opened)))
    }

    /// Opens a stored data key and uses it from now on: to seal, if it is the workspace's newest, and to open.
    ///
    /// # Errors
    /// When no master key opens it, those that were added to the key file meanwhile included.
    pub fn add_data_key(&self, key: &WrappedKey) -> Result<(), VaultError> {
        let opened = match self.unwrap_with_any(key) {
            // A master key may have been added to the file since it was read, and somebody else may have read it again since
            // this was tried; so it is tried once more in any case.
            Err(VaultError::DoesNotOpen) => {
                self.inner.masters.reload()?;
                self.unwrap_with_any(key)?
            }
            other => other?,
        };
        let cipher = XChaCha20Poly1305::new(&Key::from(*opened));
        let mut known = self.inner.data_keys.write().expect("no thread panics while it holds this lock");
        known.entry(key.workspace.clone()).or_default().insert(key.version, cipher);
        Ok(())
    }

    /// The version of the key that seals a workspace's values now.
    #[must_use]
    pub fn newest_data_key(&self, workspace: &WorkspaceId) -> Option<KeyVersion> {
        self.known(workspace, Opened::newest).ok().map(|(version, _)| version)
    }

    /// Refuses a data key that the vault does not know.
    ///
    /// # Errors
    /// [`VaultError::is_unknown_key`] holds for all of them.
    pub fn must_know(&self, workspace: &WorkspaceId, version: KeyVersion) -> Result<(), VaultError> {
        self.known(workspace, |keys| Some(keys.get(version)))?.map(drop).ok_or(VaultError::UnknownKey(version))
    }

    /// Says where data keys are stored that the vault has not met.
    pub(crate) fn set_source(&self, source: Arc<dyn KeySource>) {
        *self.inner.source.write().expect("no thread panics while it holds this lock") = Some(source);
    }

    /// Asks for the data keys of a workspace where they are stored. Does nothing for a vault that nobody told where.
    ///
    /// # Errors
    /// When they cannot be read, or no master key opens one.
    pub async fn learn(&self, workspace: &WorkspaceId) -> Result<(), StoreError> {
        let source = self.inner.source.read().expect("no thread panics while it holds this lock").clone();
        let Some(source) = source else { return Ok(()) };
        for key in source.data_keys(workspace).await? {
            self.add_data_key(&key)?;
        }
        Ok(())
    }

    /// Encrypts a value for one place.
    ///
    /// # Errors
    /// When the workspace's keys were never loaded.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (version, cipher) = self.known(place.workspace, Opened::newest)?;
        Ok(sealing::seal_versioned(version, &cipher, self.inner.entropy.as_ref(), &place, plain))
    }

    /// Decrypts a value that was sealed for this very place.
    ///
    /// # Errors
    /// When it was sealed for another place or with another key, or is damaged; and when the key it says it needs is not known
    /// ([`VaultError::is_unknown_key`]).
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let version = sealing::version_of(sealed)?;
        let cipher = self.known(place.workspace, |keys| Some(keys.get(version)))?.ok_or(VaultError::UnknownKey(version))?;
        sealing::open(&cipher, &place, sealed)
    }

    fn known<T>(&self, workspace: &WorkspaceId, choose: impl FnOnce(&Opened) -> Option<T>) -> Result<T, VaultError> {
        let known = self.inner.data_keys.read().expect("no thread panics while it holds this lock");
        known.get(workspace).and_then(choose).ok_or(VaultError::UnknownWorkspace)
    }

    fn wrap(&self, workspace: &WorkspaceId, version: KeyVersion, key: &[u8; KEY_BYTES]) -> WrappedKey {
        let cipher = self.inner.masters.current().cipher();
        let row = version.get().to_string();
        let wrapped = sealing::seal_bare(&cipher, self.inner.entropy.as_ref(), &wrapped_place(workspace, &row), key);
        WrappedKey { workspace: workspace.clone(), version, wrapped }
    }

    fn unwrap_with_any(&self, key: &WrappedKey) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
        self.inner.masters.all().iter().find_map(|master| unwrap(key, master).ok()).ok_or(VaultError::DoesNotOpen)
    }
}

fn unwrap(key: &WrappedKey, master: &MasterKey) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let row = key.version.get().to_string();
    let opened = Zeroizing::new(sealing::open(&master.cipher(), &wrapped_place(&key.workspace, &row), &key.wrapped)?);
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if opened.len() != KEY_BYTES {
        return Err(VaultError::DoesNotOpen);
    }
    bytes.copy_from_slice(&opened);
    Ok(bytes)
}

fn wrapped_place<'a>(workspace: &'a WorkspaceId, version: &'a str) -> Place<'a> {
    Place { workspace, table: "data_keys", column: "wrapped", row: version }
}

#[cfg(test)]
mod tests;
