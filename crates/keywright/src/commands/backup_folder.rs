//! What a backup looks like on disk, written and read.
//!
//! A folder with `manifest.json`, `SHA256SUMS` (as the tool of that name reads and writes it), the database, and the blobs
//! below `blobs/`. The manifest carries the digest of the sums, so one line tells whether two backups are the same. A folder
//! under way has another name and gets its own when everything in it is on disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::DATABASE_FILE;

/// The folder of blobs in a backup and in a data folder.
pub(super) const BLOBS: &str = "blobs";
const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";

/// Largest manifest that is read, in bytes: it may name every blob that was missing.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// Longest line of the sums that is read, in bytes.
const MAX_LINE_BYTES: u64 = 4 * 1024;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a backup says of itself.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    /// Raised when older programs could not read it.
    pub(super) format: u32,
    /// Of the program that made it.
    pub(super) version: String,
    /// When.
    pub(super) created_at: String,
    /// Whether the master key is in it.
    pub(super) has_master_key: bool,
    /// Blobs that the database names and that were not there.
    pub(super) missing: Vec<String>,
    /// The digest of the sums.
    pub(super) sums: String,
}

impl Manifest {
    /// The only format there is.
    pub(super) const FORMAT: u32 = 1;

    /// Reads the manifest of a backup.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let file = File::open(&path).with_context(|| format!("{} is not a backup", folder.display()))?;
        let mut text = String::new();
        file.take(MAX_MANIFEST_BYTES).read_to_string(&mut text).with_context(|| format!("{} cannot be read", path.display()))?;
        let manifest: Self = serde_json::from_str(&text).with_context(|| format!("{} is not a manifest", path.display()))?;
        ensure!(manifest.format == Self::FORMAT, "this program cannot read backups of format {}", manifest.format);
        Ok(manifest)
    }
}

/// The SHA-256 of a file, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest(String);

impl Digest {
    /// Writes bytes to a new file below a folder.
    pub(super) fn write(folder: &Path, path: &str, bytes: &[u8]) -> io::Result<Self> {
        let mut file = new_file(&folder.join(path))?;
        file.write_all(bytes)?;
        Ok(Self(hex(&Sha256::digest(bytes))))
    }

    /// Of a file.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        pump(File::open(path)?, io::sink())
    }
}

/// A backup or data folder that is being made.
#[derive(Debug)]
pub(super) struct NewFolder {
    target: PathBuf,
    partial: PathBuf,
}

impl NewFolder {
    /// Begins a folder. Refuses a target that has anything in it.
    pub(super) fn make(target: &Path) -> anyhow::Result<Self> {
        match fs::read_dir(target) {
            Ok(mut entries) => ensure!(entries.next().is_none(), "{} is not empty", target.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{} cannot be used", target.display())),
        }
        let name = target.file_name().with_context(|| format!("{} is not a name for a folder", target.display()))?;
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = target.with_file_name(partial);
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} is in the way", partial.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let made = fs::DirBuilder::new().mode(0o700).create(&partial);
        made.with_context(|| format!("{} cannot be made", partial.display()))?;
        Ok(Self { target: target.to_owned(), partial })
    }

    /// Where it is until it is finished.
    pub(super) fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes sums and manifest of a backup and gives it its name.
    pub(super) fn finish(self, mut manifest: Manifest, digests: &BTreeMap<String, Digest>) -> io::Result<()> {
        let mut sums = BufWriter::new(new_file(&self.partial.join(SUMS))?);
        for (path, Digest(digest)) in digests {
            writeln!(sums, "{digest}  {path}")?;
        }
        sums.flush()?;
        let Digest(digest) = Digest::of_file(&self.partial.join(SUMS))?;
        manifest.sums = digest;
        serde_json::to_writer_pretty(new_file(&self.partial.join(MANIFEST))?, &manifest)?;
        self.give_its_name()
    }

    /// Has everything flushed to disk and gives the folder its name.
    pub(super) fn give_its_name(self) -> io::Result<()> {
        // One call for however many files there are.
        rustix::fs::syncfs(File::open(&self.partial)?)?;
        fs::rename(&self.partial, &self.target)?;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()
    }
}

/// Copies every file of a backup into a folder, each only if it is what the backup says it is.
pub(super) fn copy_checked(backup: &Path, manifest: &Manifest, into: &Path) -> anyhow::Result<u64> {
    let sums = backup.join(SUMS);
    let Digest(digest) = Digest::of_file(&sums).with_context(|| format!("{} cannot be read", sums.display()))?;
    ensure!(digest == manifest.sums, "{} was changed or damaged", sums.display());
    let (mut files, mut has_database) = (0, false);
    let mut lines = BufReader::new(File::open(&sums).with_context(|| format!("{} cannot be read", sums.display()))?);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.by_ref().take(MAX_LINE_BYTES).read_line(&mut line)? == 0 {
            break;
        }
        let Some((expected, path)) = line.trim_end_matches('\n').split_once("  ") else {
            bail!("{} has a line that makes no sense", sums.display());
        };
        check_path(path)?;
        has_database |= path == DATABASE_FILE;
        let source = File::open(backup.join(path)).with_context(|| format!("{path} is not in the backup"))?;
        let copy = new_file(&into.join(path)).with_context(|| format!("{path} cannot be restored"))?;
        let Digest(found) = pump(source, copy).with_context(|| format!("{path} cannot be restored"))?;
        ensure!(found == expected, "{path} was changed or damaged");
        files += 1;
    }
    ensure!(has_database, "there is no database in the backup");
    Ok(files)
}

/// Copies a small file that nobody else may read.
pub(super) fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    pump(File::open(from)?, new_file(to)?).map(drop)
}

/// Refuses a path that leads anywhere but to the database or to blobs.
fn check_path(path: &str) -> anyhow::Result<()> {
    let parts: Vec<_> = Path::new(path).components().collect();
    let is_plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let is_ours = path == DATABASE_FILE || (parts.len() > 1 && parts.first() == Some(&Component::Normal(BLOBS.as_ref())));
    ensure!(is_plain && is_ours, "the backup names {path:?}, which is no part of one");
    Ok(())
}

fn new_file(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)
}

/// Copies everything; the digest of what was copied.
fn pump(mut from: impl io::Read, mut to: impl io::Write) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            to.flush()?;
            return Ok(Digest(hex(&hasher.finalize())));
        }
        hasher.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_and_blobs_are_restored() {
        for path in [DATABASE_FILE, "blobs/w/files/x"] {
            check_path(path).unwrap();
        }
        for path in ["", "/etc/passwd", "../x", "blobs/../../x", "blobs", "./blobs/x", "master.key", "other/x", "blobs//../x"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_folder_has_its_name_only_when_it_is_whole() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("backup");
        let folder = NewFolder::make(&target).unwrap();
        Digest::write(folder.path(), "blobs/a/b", b"x").unwrap();
        assert!(!target.exists());
        // The next attempt removes what a dead one left.
        let folder = NewFolder::make(&target).unwrap();
        assert!(!folder.path().join("blobs").exists());
        folder.give_its_name().unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        fs::write(target.join("x"), "x").unwrap();
        assert!(NewFolder::make(&target).unwrap_err().to_string().contains("is not empty"));
    }
}
