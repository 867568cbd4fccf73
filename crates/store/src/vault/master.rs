//! Master keys: what wraps data keys and signs links. One is current; older ones still open what they sealed.
//!
//! A key is never replaced and never guessed: where there is no file a new key is drafted, and the draft is kept only after
//! the database was opened with it, which a database with anything sealed in it refuses. Every process that uses a key file
//! reads it again when it meets something that none of its keys opens, so keys can be added under running servers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::key_file::Stamp;
use super::{VaultError, key_file};
use crate::Entropy;

pub(super) const KEY_BYTES: usize = 32;

/// One master key.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl MasterKey {
    pub(super) fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    /// A key from bytes, for tests.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }

    fn derive(&self, label: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut hasher = Sha256::new();
        hasher.update(b"keywright derived key v1\0");
        hasher.update(label.as_bytes());
        hasher.update([0]);
        hasher.update(self.0.as_slice());
        Zeroizing::new(hasher.finalize().into())
    }
}

/// The master keys of a server. Clones share them.
#[derive(Clone)]
pub struct MasterKeys {
    ring: Arc<Ring>,
}

struct Ring {
    /// None for keys that are in no file.
    path: Option<PathBuf>,
    state: RwLock<State>,
}

struct State {
    /// Current first; never empty.
    keys: Vec<MasterKey>,
    /// The file that the keys were read from or written to; none while they are in no file.
    stamp: Option<Stamp>,
}

impl std::fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKeys").field("path", &self.ring.path).finish_non_exhaustive()
    }
}

impl From<MasterKey> for MasterKeys {
    /// Keys that are in no file.
    fn from(key: MasterKey) -> Self {
        Self::of(None, vec![key], None)
    }
}

impl From<[u8; KEY_BYTES]> for MasterKeys {
    /// Keys that are in no file.
    fn from(bytes: [u8; KEY_BYTES]) -> Self {
        MasterKey::from_bytes(bytes).into()
    }
}

impl MasterKeys {
    /// Reads the key file.
    ///
    /// # Errors
    /// See [`VaultError`]; a file that is not there is one too.
    pub fn load(path: &Path) -> Result<Self, VaultError> {
        match key_file::read(path)? {
            Some((keys, stamp)) => Ok(Self::of(Some(path.to_owned()), keys, Some(stamp))),
            None => Err(VaultError::NoKeyFile(path.to_owned())),
        }
    }

    /// Reads the key file, or makes a new key up where there is none. Nothing is written before [`Self::keep`].
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn load_or_draft(path: &Path, entropy: &dyn Entropy) -> Result<Self, VaultError> {
        match key_file::read(path)? {
            Some((keys, stamp)) => Ok(Self::of(Some(path.to_owned()), keys, Some(stamp))),
            None => Ok(Self::of(Some(path.to_owned()), vec![MasterKey::generate(entropy)], None)),
        }
    }

    /// Whether the key was just made up and is in no file yet.
    #[must_use]
    pub fn is_draft(&self) -> bool {
        self.ring.path.is_some() && self.read().stamp.is_none()
    }

    /// Writes a drafted key to its file; does nothing for keys that are in a file. To be called once the database was opened
    /// with these keys and before anything is sealed with them.
    ///
    /// # Errors
    /// When the file cannot be written, or somebody else made one meanwhile.
    pub fn keep(&self) -> Result<(), VaultError> {
        let mut state = self.write();
        let Some(path) = self.ring.path.as_deref().filter(|_| state.stamp.is_none()) else { return Ok(()) };
        let locked = key_file::lock(path)?;
        if key_file::read(path)?.is_some() {
            return Err(VaultError::KeyFileBusy(path.to_owned()));
        }
        state.stamp = Some(locked.write(state.keys.iter())?);
        Ok(())
    }

    /// Makes a new current key; what were the keys before stay as older ones, but for the oldest when they become too many. To
    /// be called when the current key wraps every data key. The file is written before anything is sealed with the new key.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn rotate(&self, entropy: &dyn Entropy) -> Result<(), VaultError> {
        let mut state = self.write();
        let Some(path) = self.ring.path.as_deref() else { return Err(VaultError::NotInAFile) };
        let mut keys = vec![MasterKey::generate(entropy)];
        keys.extend(state.keys.iter().take(key_file::MAX_KEYS - 1).cloned());
        let stamp = key_file::lock(path)?.write(keys.iter())?;
        *state = State { keys, stamp: Some(stamp) };
        Ok(())
    }

    /// Reads the file again, if it is another one than was read last. Returns whether it was; keys that were taken out of it
    /// are forgotten.
    ///
    /// # Errors
    /// See [`VaultError`]; the keys of before are kept then.
    pub fn reload(&self) -> Result<bool, VaultError> {
        let Some(path) = self.ring.path.as_deref().filter(|_| !self.is_draft()) else { return Ok(false) };
        if key_file::stamp(path)? == self.read().stamp {
            return Ok(false);
        }
        let (keys, stamp) = key_file::read(path)?.ok_or_else(|| VaultError::NoKeyFile(path.to_owned()))?;
        *self.write() = State { keys, stamp: Some(stamp) };
        Ok(true)
    }

    /// A key for another purpose, derived from the current one: the same label always gives the same key.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; KEY_BYTES] {
        *self.current().derive(label)
    }

    /// The same, derived from every key, current first.
    #[must_use]
    pub fn derive_all(&self, label: &str) -> Vec<Zeroizing<[u8; KEY_BYTES]>> {
        self.read().keys.iter().map(|key| key.derive(label)).collect()
    }

    pub(super) fn current(&self) -> MasterKey {
        self.read().keys.first().cloned().expect("there is always a current key")
    }

    pub(super) fn all(&self) -> Vec<MasterKey> {
        self.read().keys.clone()
    }

    fn of(path: Option<PathBuf>, keys: Vec<MasterKey>, stamp: Option<Stamp>) -> Self {
        Self { ring: Arc::new(Ring { path, state: RwLock::new(State { keys, stamp }) }) }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.ring.state.read().expect("no thread panics while it holds this lock")
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.ring.state.write().expect("no thread panics while it holds this lock")
    }
}

#[cfg(test)]
#[path = "master_tests.rs"]
mod tests;
