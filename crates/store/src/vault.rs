//! The vault: encrypts what must not lie in the clear, and opens it again.
//!
//! One master key in a file wraps one data key per workspace; a data key seals values with XChaCha20-Poly1305. Every sealed
//! value names, as associated data, the workspace, table, column and row it belongs to: moved anywhere else, it does not
//! open. Format: version byte 1, 24 bytes of nonce, ciphertext with tag.
//!
//! Refuses to guess: a wrong master key is an error at start, never a new key. If the process dies here, nothing was written.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use keywright_domain::WorkspaceId;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Entropy;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// What can be wrong with a key or a sealed value.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The key file cannot be read or made.
    #[error("the key file {path} cannot be used")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The key file does not hold 32 bytes in hex.
    #[error("the key file {0} does not hold a key")]
    NotAKey(PathBuf),
    /// Others may read the key file.
    #[error("the key file {0} can be read by others; it must have mode 0600")]
    KeyFileOpen(PathBuf),
    /// A value does not open: another key, another place, or damaged.
    #[error("a sealed value does not open; is this the key that the data was written with?")]
    DoesNotOpen,
    /// A workspace whose data key was never loaded.
    #[error("no data key for this workspace")]
    UnknownWorkspace,
}

/// The key that wraps all others.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl MasterKey {
    /// Reads the key file, or makes it with mode 0600 where there is none.
    ///
    /// # Errors
    /// See [`VaultError`]. A file that is there but is not a private key file is never replaced.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, VaultError> {
        let failed = |source| VaultError::KeyFile { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => Err(VaultError::KeyFileOpen(path.to_owned())),
            Ok(_) => {
                let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
                from_hex(text.trim()).map(Self).ok_or_else(|| VaultError::NotAKey(path.to_owned()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = Zeroizing::new([0; KEY_BYTES]);
                entropy.fill(key.as_mut_slice());
                let hex: Zeroizing<String> = Zeroizing::new(key.iter().map(|byte| format!("{byte:02x}")).collect());
                // Written beside and renamed, so that a crash never leaves half a key under the final name.
                let temporary = path.with_extension("new");
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&temporary)
                    .map_err(failed)?;
                file.write_all(hex.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
                fs::rename(&temporary, path).map_err(failed)?;
                if let Some(parent) = path.parent() {
                    fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed)?;
                }
                Ok(Self(key))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A key from bytes, for tests.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key for another purpose, derived from this one: the same label always gives the same key.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; KEY_BYTES] {
        let mut hasher = Sha256::new();
        hasher.update(b"keywright derived key v1\0");
        hasher.update(label.as_bytes());
        hasher.update([0]);
        hasher.update(self.0.as_slice());
        hasher.finalize().into()
    }
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if text.len() != KEY_BYTES * 2 || !text.is_ascii() {
        return None;
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
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

/// Seals and opens values with the data keys of the workspaces it was told of.
#[derive(Clone)]
pub struct Vault {
    master: Arc<MasterKey>,
    entropy: Arc<dyn Entropy>,
    data_keys: Arc<RwLock<HashMap<WorkspaceId, XChaCha20Poly1305>>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(***)")
    }
}

impl Vault {
    /// A vault that knows no workspace yet.
    #[must_use]
    pub fn new(master: MasterKey, entropy: Arc<dyn Entropy>) -> Self {
        Self { master: Arc::new(master), entropy, data_keys: Arc::default() }
    }

    /// Makes a data key for a new workspace and returns it wrapped, to be stored.
    pub fn create_workspace_key(&self, workspace: &WorkspaceId) -> Vec<u8> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.entropy.fill(key.as_mut_slice());
        let wrapped = seal_with(&self.master_cipher(), self.entropy.as_ref(), &wrap_place(workspace), key.as_slice());
        self.remember(workspace, &key);
        wrapped
    }

    /// Opens the stored, wrapped data key of a workspace.
    ///
    /// # Errors
    /// When the master key is not the one it was wrapped with.
    pub fn load_workspace_key(&self, workspace: &WorkspaceId, wrapped: &[u8]) -> Result<(), VaultError> {
        let opened = Zeroizing::new(open_with(&self.master_cipher(), &wrap_place(workspace), wrapped)?);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if opened.len() != KEY_BYTES {
            return Err(VaultError::DoesNotOpen);
        }
        key.copy_from_slice(&opened);
        self.remember(workspace, &key);
        Ok(())
    }

    /// Encrypts a value for one place.
    ///
    /// # Errors
    /// When the workspace's key was never loaded.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        Ok(seal_with(&self.cipher(place.workspace)?, self.entropy.as_ref(), &place, plain))
    }

    /// Decrypts a value that was sealed for this very place.
    ///
    /// # Errors
    /// When it was sealed for another place or with another key, or is damaged.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        open_with(&self.cipher(place.workspace)?, &place, sealed)
    }

    fn remember(&self, workspace: &WorkspaceId, key: &[u8; KEY_BYTES]) {
        let cipher = XChaCha20Poly1305::new(&Key::from(*key));
        self.data_keys.write().expect("no thread panics while it holds this lock").insert(workspace.clone(), cipher);
    }

    fn cipher(&self, workspace: &WorkspaceId) -> Result<XChaCha20Poly1305, VaultError> {
        let keys = self.data_keys.read().expect("no thread panics while it holds this lock");
        keys.get(workspace).cloned().ok_or(VaultError::UnknownWorkspace)
    }

    fn master_cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.master.0))
    }
}

fn wrap_place(workspace: &WorkspaceId) -> Place<'_> {
    Place { workspace, table: "workspaces", column: "data_key", row: "" }
}

fn seal_with(cipher: &XChaCha20Poly1305, entropy: &dyn Entropy, place: &Place<'_>, plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = entropy.bytes();
    let aad = place.associated_data();
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
        .expect("encryption in memory fails only beyond 256 GiB");
    let mut out = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
    out.push(VERSION);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    out
}

fn open_with(cipher: &XChaCha20Poly1305, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (&version, rest) = sealed.split_first().ok_or(VaultError::DoesNotOpen)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::DoesNotOpen)?;
    if version != VERSION {
        return Err(VaultError::DoesNotOpen);
    }
    let aad = place.associated_data();
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad }).map_err(|_| VaultError::DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    fn vault(workspace: &WorkspaceId) -> Vault {
        let vault = Vault::new(MasterKey::from_bytes([1; 32]), Arc::new(SystemEntropy));
        vault.create_workspace_key(workspace);
        vault
    }

    #[test]
    fn a_value_opens_only_in_its_own_place() {
        let workspace = WorkspaceId::from_entropy([1; 16]);
        let vault = vault(&workspace);
        let place = Place { workspace: &workspace, table: "runs", column: "candidate", row: "r1" };
        let sealed = vault.seal(place, b"cookie").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"cookie"));
        assert_eq!(vault.open(place, &sealed).unwrap(), b"cookie");
        for other in [Place { row: "r2", ..place }, Place { column: "result", ..place }, Place { table: "x", ..place }] {
            assert!(vault.open(other, &sealed).is_err());
        }
        let mut damaged = sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(vault.open(place, &damaged).is_err());
    }

    #[test]
    fn another_master_key_does_not_open_a_workspace() {
        let workspace = WorkspaceId::from_entropy([1; 16]);
        let wrapped = vault(&workspace).create_workspace_key(&workspace);
        let other = Vault::new(MasterKey::from_bytes([2; 32]), Arc::new(SystemEntropy));
        assert!(matches!(other.load_workspace_key(&workspace, &wrapped), Err(VaultError::DoesNotOpen)));
    }

    #[test]
    fn the_key_file_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let first = MasterKey::load_or_create(&path, &SystemEntropy).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = MasterKey::load_or_create(&path, &SystemEntropy).unwrap();
        assert_eq!(first.0.as_slice(), second.0.as_slice());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(MasterKey::load_or_create(&path, &SystemEntropy), Err(VaultError::KeyFileOpen(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(MasterKey::load_or_create(&path, &SystemEntropy), Err(VaultError::NotAKey(_))));
    }
}
