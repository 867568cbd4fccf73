//! Unpacks an uploaded project: a gzipped tar of regular files and folders into a fresh folder.
//!
//! The archive is a stranger's. Refused, with the entry named: links, devices and set-user-id bits; names that are absolute,
//! climb, hide a separator or would be another file on another system; names that collide; more entries, bytes or
//! compression than a project has. Reads as it goes, so memory stays at a few buffers whatever the archive claims.
//! Everything is written into a sibling of the target that gets the target's name when it is complete: if the process dies
//! here, a folder with the prefix `UNFINISHED` is left, which the next build sweeps.

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use flate2::bufread::GzDecoder;
use keywright_domain::{MAX_PROJECT_BYTES, MAX_PROJECT_ENTRIES, Problem};
use tar::{Archive, Entry, EntryType, PaxExtensions};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

/// Most bytes of the tar itself: the files, and the headers and padding of as many as may be.
const MAX_INFLATED_BYTES: u64 = MAX_PROJECT_BYTES + 16 * 1024 * 1024;

/// Source code compresses to a quarter; a hundredth is a bomb,
const MAX_RATIO: u64 = 100;

/// unless it is so small that the padding of tar makes it one.
const RATIO_FLOOR_BYTES: u64 = 4 * 1024 * 1024;

/// Longest path, so that it fits below any data folder on any system.
const MAX_PATH_BYTES: usize = 240;

/// Most bytes of one header of a long name or of extended attributes.
const MAX_EXTENSION_BYTES: u64 = 16 * 1024;

/// Left out wherever they are: what is installed, kept or secret on the author's machine only.
const LEFT_OUT: [&str; 5] = [".env", ".git", ".venv", "node_modules", "__pycache__"];

/// Left out at the top of the project: the author's local sessions, and our own folder.
const LEFT_OUT_AT_TOP: [&str; 2] = ["auth-sessions-instances", ".keywright"];

/// Begins the name of a folder that is being unpacked.
pub(crate) const UNFINISHED: &str = ".unpacking-";

/// Why an archive was not unpacked. Completes "failed to unpack the project: …".
#[derive(Debug, Error)]
pub enum UnpackError {
    /// Something is wrong with the archive.
    #[error("{}: {}", .0.file, .0.message)]
    Refused(Problem),
    /// Something is wrong here.
    #[error("the disk refused")]
    Disk(#[source] io::Error),
}

/// Unpacks into `target`, which must not exist and whose parent must. Blocking.
///
/// # Errors
/// See [`UnpackError`]. Nothing is left behind then.
pub fn unpack(archive: &[u8], target: &Path) -> Result<(), UnpackError> {
    let parent = target.parent().ok_or_else(|| UnpackError::Disk(io::Error::other("the target has no parent folder")))?;
    let fresh = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent).map_err(UnpackError::Disk)?;
    let mut unpacking = Unpacking { folder: fresh.path(), spellings: HashMap::new(), unpacked_bytes: 0 };
    unpacking.all(archive)?;
    set_mode(fresh.path(), 0o755).map_err(UnpackError::Disk)?;
    std::fs::rename(fresh.path(), target).map_err(UnpackError::Disk)?;
    // It has its name now; nothing is left at the old one to be removed.
    drop(fresh.keep());
    Ok(())
}

/// What is known of the part that is already unpacked.
struct Unpacking<'a> {
    folder: &'a Path,
    /// Every file and folder by how a system sees it that cares for neither case nor composition.
    spellings: HashMap<String, Node>,
    unpacked_bytes: u64,
}

struct Node {
    path: String,
    is_folder: bool,
}

impl Unpacking<'_> {
    fn all(&mut self, archive: &[u8]) -> Result<(), UnpackError> {
        let compressed_bytes = u64::try_from(archive.len()).unwrap_or(u64::MAX);
        let limit_bytes = MAX_INFLATED_BYTES.min(RATIO_FLOOR_BYTES.max(compressed_bytes.saturating_mul(MAX_RATIO)));
        let mut tar = Archive::new(Bounded { inner: GzDecoder::new(archive), left_bytes: limit_bytes });
        // Raw, because the reader would otherwise take a long name of any length into memory by itself.
        let entries = tar.entries().map_err(|error| unreadable(&error))?.raw(true);
        let mut long_path = None;
        let mut count = 0_usize;
        for entry in entries {
            let mut entry = entry.map_err(|error| unreadable(&error))?;
            count += 1;
            // Headers of long names count too: they are as much work.
            if count > MAX_PROJECT_ENTRIES {
                return Err(archive_problem(format!(
                    "has more than {MAX_PROJECT_ENTRIES} entries; leave out what is installed or built"
                )));
            }
            match entry.header().entry_type() {
                EntryType::XGlobalHeader => drop(extension(&mut entry)?),
                EntryType::XHeader => {
                    if let Some(path) = extended_path(&extension(&mut entry)?)? {
                        long_path = Some(path);
                    }
                }
                EntryType::GNULongName => {
                    let mut path = extension(&mut entry)?;
                    if path.last() == Some(&0) {
                        path.pop();
                    }
                    long_path = Some(path);
                }
                // The target of a link that follows; the link is judged when it comes.
                EntryType::GNULongLink => drop(extension(&mut entry)?),
                _ => {
                    let path = long_path.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                    self.entry(&path, &mut entry)?;
                }
            }
        }
        if long_path.is_some() {
            return Err(archive_problem("ends in the middle of an entry".to_owned()));
        }
        no_more(tar.into_inner())?;
        if self.spellings.is_empty() { Err(archive_problem("has nothing of a project in it".to_owned())) } else { Ok(()) }
    }

    fn entry(&mut self, path: &[u8], entry: &mut Entry<'_, impl Read>) -> Result<(), UnpackError> {
        let (path, ends_in_slash) = checked(path)?;
        if path.is_empty() || is_left_out(&path) {
            return Ok(());
        }
        let refused = |message: String| problem(&path, message);
        let header = entry.header();
        let mode = header.mode().map_err(|_| refused("has an unreadable header".to_owned()))?;
        if mode & 0o6000 != 0 {
            return Err(refused("has a set-user-id or set-group-id bit, which no project needs".to_owned()));
        }
        let is_folder = match header.entry_type() {
            EntryType::Directory => true,
            // Before there was a type for folders, a slash made one.
            EntryType::Regular if ends_in_slash => true,
            EntryType::Regular | EntryType::Continuous if !ends_in_slash => false,
            EntryType::Symlink | EntryType::Link => {
                return Err(refused("is a link; put the file itself into the archive".to_owned()));
            }
            _ => return Err(refused("is neither a regular file nor a folder".to_owned())),
        };
        let size_bytes = header.entry_size().map_err(|_| refused("has an unreadable size".to_owned()))?;
        if is_folder && size_bytes > 0 {
            return Err(refused("is a folder with content of its own".to_owned()));
        }
        self.unpacked_bytes = self.unpacked_bytes.saturating_add(size_bytes);
        if self.unpacked_bytes > MAX_PROJECT_BYTES {
            return Err(refused(format!("makes the project larger than {} MiB", MAX_PROJECT_BYTES / 1024 / 1024)));
        }
        self.claim(&path, is_folder)?;
        let place = self.folder.join(&path);
        if is_folder {
            return make_folder(&place).map_err(UnpackError::Disk);
        }
        let mode = if mode & 0o100 != 0 { 0o755 } else { 0o644 };
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&place).map_err(UnpackError::Disk)?;
        set_mode(&place, mode).map_err(UnpackError::Disk)?;
        copy(entry, &mut file, &path, size_bytes)
    }

    /// Takes a name, and those of the folders on the way to it, unless something else has it already.
    fn claim(&mut self, path: &str, is_folder: bool) -> Result<(), UnpackError> {
        let ends = path.match_indices('/').map(|(at, _)| (at, true)).chain([(path.len(), is_folder)]);
        for (end, is_folder) in ends {
            let part = &path[..end];
            match self.spellings.get(&folded(part)) {
                None => {
                    if end < path.len() {
                        make_folder(&self.folder.join(part)).map_err(UnpackError::Disk)?;
                    }
                    self.spellings.insert(folded(part), Node { path: part.to_owned(), is_folder });
                }
                Some(node) if node.path != part => {
                    let message =
                        format!("is the same name as {:?} where case or composition of letters does not count", node.path);
                    return Err(problem(path, message));
                }
                Some(node) if node.is_folder && is_folder => {}
                Some(_) => return Err(problem(path, "is in the archive twice".to_owned())),
            }
        }
        Ok(())
    }
}

/// A path as it may stand in the archive, without `./` before and `/` behind it.
fn checked(raw: &[u8]) -> Result<(String, bool), UnpackError> {
    let shown = || String::from_utf8_lossy(&raw[..raw.len().min(MAX_PATH_BYTES)]).into_owned();
    let refused = |message: &str| Err(problem(&shown(), message.to_owned()));
    let Ok(path) = std::str::from_utf8(raw) else { return refused("has a name that is not UTF-8") };
    if path.len() > MAX_PATH_BYTES {
        return refused("has a path longer than 240 bytes");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return refused("has a backslash or a control character in its name");
    }
    if path.starts_with('/') {
        return refused("has an absolute path");
    }
    let mut inner = path;
    while let Some(rest) = inner.strip_prefix("./") {
        inner = rest;
    }
    let ends_in_slash = inner.ends_with('/') || inner == "." || inner.is_empty();
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() || inner == "." {
        return if path.is_empty() {
            Err(archive_problem("has an entry without a name".to_owned()))
        } else {
            Ok((String::new(), true))
        };
    }
    if inner.as_bytes().get(1) == Some(&b':') && inner.as_bytes()[0].is_ascii_alphabetic() {
        return refused("begins with a drive letter");
    }
    for part in inner.split('/') {
        match part {
            "" | "." => return refused("has an empty part in its path"),
            ".." => return refused("climbs out of the project"),
            part if part.ends_with(['.', ' ']) => return refused("has a name that ends in a dot or a space"),
            _ => {}
        }
    }
    Ok((inner.to_owned(), ends_in_slash))
}

fn is_left_out(path: &str) -> bool {
    let mut parts = path.split('/');
    path.split('/').any(|part| LEFT_OUT.contains(&part)) || parts.next().is_some_and(|top| LEFT_OUT_AT_TOP.contains(&top))
}

/// How a system sees a name that does not care for case or composition.
fn folded(path: &str) -> String {
    path.nfc().collect::<String>().to_uppercase().to_lowercase().nfc().collect()
}

fn extension(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, UnpackError> {
    let mut content = Vec::new();
    entry.take(MAX_EXTENSION_BYTES + 1).read_to_end(&mut content).map_err(|error| unreadable(&error))?;
    if content.len() as u64 > MAX_EXTENSION_BYTES {
        return Err(archive_problem("has an extended header that is larger than 16 KiB".to_owned()));
    }
    Ok(content)
}

/// The path in an extended header. What would change where a file ends is refused, the rest does not matter.
fn extended_path(content: &[u8]) -> Result<Option<Vec<u8>>, UnpackError> {
    let mut path = None;
    for pair in PaxExtensions::new(content) {
        let pair = pair.map_err(|error| unreadable(&error))?;
        match pair.key_bytes() {
            b"path" => path = Some(pair.value_bytes().to_vec()),
            b"size" => return Err(archive_problem("gives the size of a file in an extended header".to_owned())),
            key if key.starts_with(b"GNU.sparse.") => return Err(archive_problem("has a sparse file".to_owned())),
            _ => {}
        }
    }
    Ok(path)
}

/// Copies a file, telling trouble with the archive from trouble with the disk.
fn copy(source: &mut impl Read, target: &mut File, path: &str, size_bytes: u64) -> Result<(), UnpackError> {
    let mut buffer = [0; 64 * 1024];
    let mut copied_bytes = 0;
    loop {
        let read = source.read(&mut buffer).map_err(|error| unreadable(&error))?;
        if read == 0 {
            break;
        }
        io::Write::write_all(target, &buffer[..read]).map_err(UnpackError::Disk)?;
        copied_bytes += read as u64;
    }
    if copied_bytes == size_bytes { Ok(()) } else { Err(problem(path, "is cut off".to_owned())) }
}

/// Reads to the end, which checks the sum of gzip, and refuses anything behind it that another reader might see.
fn no_more(mut rest: Bounded<GzDecoder<&[u8]>>) -> Result<(), UnpackError> {
    let mut buffer = [0; 64 * 1024];
    loop {
        let read = rest.read(&mut buffer).map_err(|error| unreadable(&error))?;
        if read == 0 {
            break;
        }
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Err(archive_problem("goes on behind its end".to_owned()));
        }
    }
    if rest.inner.get_ref().iter().any(|byte| *byte != 0) {
        return Err(archive_problem("is followed by something else".to_owned()));
    }
    Ok(())
}

/// A reader that ends in an error where a bomb would go on.
struct Bounded<R> {
    inner: R,
    left_bytes: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let read_bytes = u64::try_from(read).unwrap_or(u64::MAX);
        self.left_bytes = self.left_bytes.checked_sub(read_bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "it inflates to more than a project has, or more than a hundredfold")
        })?;
        Ok(read)
    }
}

fn make_folder(place: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        // The process's umask may have taken something away.
        Ok(()) => set_mode(place, 0o755),
    }
}

fn set_mode(place: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

fn problem(path: &str, message: String) -> UnpackError {
    UnpackError::Refused(Problem { file: path.chars().filter(|c| !c.is_control()).collect(), line: None, message })
}

fn archive_problem(message: String) -> UnpackError {
    problem("the archive", message)
}

fn unreadable(error: &io::Error) -> UnpackError {
    archive_problem(format!("is not a whole tar.gz: {error}"))
}
