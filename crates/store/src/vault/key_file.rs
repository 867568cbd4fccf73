//! The master key's file: one key a line, 64 hexadecimal digits each. The first is the current one; the others are older and
//! still open what they sealed.
//!
//! Refuses a file that others can read, and one with anything else in it. It is replaced whole and flushed, file and folder:
//! if the process dies here, there is the file of before or the one of after, and perhaps a private `*.new` beside it that
//! the next writing replaces. Whoever changes the file holds the lock beside it meanwhile.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::VaultError;
use super::master::{KEY_BYTES, MasterKey};

/// Most keys in the file. After so many rotations nothing needs the oldest any more, but for links that are not expired yet
/// and copies of the data that were made before.
pub(super) const MAX_KEYS: usize = 16;

/// Largest file that is read, in bytes: so many lines, and room for line ends of any kind.
const MAX_FILE_BYTES: usize = MAX_KEYS * (KEY_BYTES * 2 + 2);

/// What tells one file from another of the same name. A file is replaced and never changed, so this changes with its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    modified: (i64, i64),
    size_bytes: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()), size_bytes: metadata.len() }
    }
}

/// Which file is there now; nothing if there is none.
pub(super) fn stamp(path: &Path) -> Result<Option<Stamp>, VaultError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(VaultError::KeyFile { path: path.to_owned(), source }),
    }
}

/// Reads the keys; nothing if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<(Vec<MasterKey>, Stamp)>, VaultError> {
    let failed = |source| VaultError::KeyFile { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(VaultError::KeyFileOpen(path.to_owned()));
    }
    // Room from the start, so that no copy of a key is left behind by a growing buffer.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES + 1));
    match file.take(MAX_FILE_BYTES as u64 + 1).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(VaultError::NotAKey(path.to_owned())),
        Err(error) => return Err(failed(error)),
    }
    let keys: Option<Vec<MasterKey>> = text.trim_end().lines().map(|line| from_hex(line).map(MasterKey::new)).collect();
    match keys {
        Some(keys) if !keys.is_empty() && keys.len() <= MAX_KEYS => Ok(Some((keys, Stamp::of(&metadata)))),
        Some(_) | None => Err(VaultError::NotAKey(path.to_owned())),
    }
}

/// The right to change a key file; given back when it is dropped, and by the system when the process dies.
#[derive(Debug)]
pub(super) struct Locked {
    path: PathBuf,
    _lock: File,
}

/// Takes the lock beside the file.
pub(super) fn lock(path: &Path) -> Result<Locked, VaultError> {
    let failed = |source| VaultError::KeyFile { path: path.to_owned(), source };
    let beside = with_suffix(path, ".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Locked { path: path.to_owned(), _lock: file }),
        Err(TryLockError::WouldBlock) => Err(VaultError::KeyFileBusy(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

impl Locked {
    /// Replaces the file by one with these keys.
    pub(super) fn write<'k>(&self, keys: impl Iterator<Item = &'k MasterKey>) -> Result<Stamp, VaultError> {
        let failed = |source| VaultError::KeyFile { path: self.path.clone(), source };
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES));
        for key in keys {
            push_hex(&mut text, key.bytes());
        }
        let new = with_suffix(&self.path, ".new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed)?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        fs::rename(&new, &self.path).map_err(failed)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(stamp)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn push_hex(text: &mut String, bytes: &[u8; KEY_BYTES]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(u32::from(digit), 16).expect("half a byte is less than 16"));
        }
    }
    text.push('\n');
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if text.len() != KEY_BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}
