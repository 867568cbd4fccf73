//! The one folder that a slot may write into, and how the server touches what user code left there: by descriptor, never
//! through a link, never outside.
//!
//! Beside each folder lies a note, out of the slot's reach, that says which process lives in it; a server that finds notes
//! of an earlier life ends those processes before anything else. If the process dies between any two steps here, the next
//! [`sweep`] removes what is left.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::Signal;
use tokio::net::UnixListener;

use crate::sandbox::Sandbox;
use crate::tree;

/// How long processes of an earlier life have to disappear after they were killed.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(5);

/// A slot's folder. Not removed by dropping: only [`SlotFolder::remove`] knows that nobody lives there any more.
#[derive(Debug)]
pub(crate) struct SlotFolder {
    path: PathBuf,
    note: PathBuf,
    descriptor: File,
}

impl SlotFolder {
    /// Makes a new folder, private to the user inside.
    pub(crate) fn create(slots: &Path, name: &str, sandbox: &Sandbox) -> io::Result<Self> {
        let (path, note) = (slots.join(name), slots.join(format!("{name}.pid")));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        sandbox.give(&path)?;
        let descriptor = File::options().read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed()).open(&path)?;
        Ok(Self { path, note, descriptor })
    }

    /// Where it is, outside and inside.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the door through which the runner connects. The name is resolved from the folder's descriptor, because a socket's
    /// name may be only a hundred bytes long and nobody knows where the data is.
    pub(crate) fn listen(&self, name: &str, sandbox: &Sandbox) -> io::Result<UnixListener> {
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{name}", self.descriptor.as_raw_fd()))?;
        let path = self.path.join(name);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        sandbox.give(&path)?;
        Ok(listener)
    }

    /// Notes who lives here, for a later life of the server.
    pub(crate) fn note(&self, pid: i32) -> io::Result<()> {
        let start_ticks = tree::entry(pid).map_or(0, |entry| entry.start_ticks);
        std::fs::write(&self.note, format!("{pid} {start_ticks}"))
    }

    /// Opens a regular file below the folder that user code named, for reading. Links anywhere on the way are refused, and so
    /// is what only looks like a file.
    pub(crate) fn open_beneath(&self, name: &Path) -> io::Result<File> {
        let relative = name.strip_prefix(&self.path).unwrap_or(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = File::from(rustix::fs::openat2(&self.descriptor, relative, flags, Mode::empty(), resolve)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(file)
    }

    /// The whole content of such a file; nothing when it is over `max_bytes`.
    pub(crate) fn read_beneath(&self, name: &Path, max_bytes: u64) -> io::Result<Option<Bytes>> {
        let file = self.open_beneath(name)?;
        if file.metadata()?.len() > max_bytes {
            return Ok(None);
        }
        let mut content = Vec::new();
        // It may grow while it is read.
        file.take(max_bytes + 1).read_to_end(&mut content)?;
        Ok((content.len() as u64 <= max_bytes).then(|| content.into()))
    }

    /// Moves a file that lies directly in the folder to `target`, where no user code comes. False when there is none.
    ///
    /// What was moved is looked at only afterwards: a link or a folder in its place is removed and refused.
    pub(crate) fn take(&self, name: &str, target: &Path) -> io::Result<bool> {
        match rustix::fs::renameat(&self.descriptor, name, rustix::fs::CWD, target) {
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            Err(rustix::io::Errno::XDEV) => return self.copy(name, target),
            Err(error) => return Err(error.into()),
        }
        let moved = std::fs::symlink_metadata(target)?;
        if !moved.is_file() || moved.nlink() != 1 {
            remove(target)?;
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
        }
        let own = rustix::process::geteuid().as_raw();
        std::os::unix::fs::lchown(target, Some(own), None)?;
        std::fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(true)
    }

    fn copy(&self, name: &str, target: &Path) -> io::Result<bool> {
        let mut source = self.open_beneath(Path::new(name))?;
        let mut copy = File::options().write(true).create_new(true).mode(0o600).open(target)?;
        io::copy(&mut source, &mut copy)?;
        Ok(true)
    }

    /// Removes the folder and its note. Everything that lived there must be gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove(&self.path)?;
        remove(&self.note)
    }
}

/// Removes a file, a link or a whole folder, without following links; that it is not there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Removes what is in a folder under a name that begins so: work that an earlier process did not finish.
pub(crate) fn remove_unfinished(folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes an empty, private folder, whatever was there.
pub(crate) fn wipe(folder: &Path) -> io::Result<()> {
    remove(folder)?;
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)
}

/// Ends every process that an earlier life of this server left in its slots; the folders can be wiped afterwards.
///
/// # Errors
/// When one of them does not end.
pub(crate) fn sweep(slots: &Path) -> io::Result<()> {
    let roots = noted(slots);
    let deadline = Instant::now() + SWEEP_TIMEOUT;
    loop {
        let all = tree::processes();
        let mut left: Vec<i32> = tree::left_behind(slots).iter().map(|entry| entry.pid).collect();
        for (pid, start_ticks) in &roots {
            // The same pid with another beginning is somebody else.
            if all.iter().any(|entry| entry.pid == *pid && entry.start_ticks == *start_ticks) {
                left.push(*pid);
                left.extend(tree::descendants(&all, *pid).iter().map(|(entry, _)| entry.pid));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("processes of an earlier life do not end: {left:?}")));
        }
        left.iter().for_each(|pid| tree::send(*pid, Signal::KILL));
        std::thread::sleep(tree::LOOK_INTERVAL);
    }
}

/// What the notes say: pid and beginning.
fn noted(slots: &Path) -> Vec<(i32, u64)> {
    let Ok(folder) = std::fs::read_dir(slots) else { return Vec::new() };
    folder
        .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.extension().is_some_and(|extension| extension == "pid")))
        .filter_map(|note| {
            let text = std::fs::read_to_string(note).ok()?;
            let (pid, start_ticks) = text.split_once(' ')?;
            Some((pid.parse().ok()?, start_ticks.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::Spawner;
    use std::os::unix::fs::symlink;

    async fn folder(slots: &Path) -> SlotFolder {
        let scratch = tempfile::tempdir().unwrap();
        let (sandbox, _) = Sandbox::probe(&Spawner::start().unwrap(), scratch.path()).await;
        SlotFolder::create(slots, "s1", &sandbox).unwrap()
    }

    #[tokio::test]
    async fn nothing_outside_is_read_whatever_user_code_puts_there() {
        let slots = tempfile::tempdir().unwrap();
        let folder = folder(slots.path()).await;
        std::fs::write(slots.path().join("secret"), "secret").unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("d/file"), "mine").unwrap();
        symlink("../secret", folder.path().join("link")).unwrap();
        symlink("..", folder.path().join("up")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        for name in ["link", "up/secret", "../secret", "d", "pipe", "/etc/passwd", "/proc/self/environ", ""] {
            assert!(folder.read_beneath(Path::new(name), 100).is_err(), "{name}");
        }
        for name in [PathBuf::from("d/file"), folder.path().join("d/file")] {
            assert_eq!(folder.read_beneath(&name, 4).unwrap().as_deref(), Some(&b"mine"[..]));
            assert_eq!(folder.read_beneath(&name, 3).unwrap(), None);
        }
    }

    #[tokio::test]
    async fn only_a_plain_file_is_taken_out() {
        let slots = tempfile::tempdir().unwrap();
        let folder = folder(slots.path()).await;
        let target = slots.path().join("taken");
        assert!(!folder.take("trace.zip", &target).unwrap());
        symlink("/etc/passwd", folder.path().join("trace.zip")).unwrap();
        assert!(folder.take("trace.zip", &target).is_err() && !target.exists());
        std::fs::create_dir(folder.path().join("trace.zip")).unwrap();
        assert!(folder.take("trace.zip", &target).is_err() && !target.exists());
        std::fs::write(folder.path().join("trace.zip"), "zip").unwrap();
        assert!(folder.take("trace.zip", &target).unwrap());
        assert_eq!(std::fs::read(&target).unwrap(), b"zip");
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_sweep_ends_what_the_notes_name_and_nobody_who_got_the_number_later() {
        let slots = tempfile::tempdir().unwrap();
        let spawner = Spawner::start().unwrap();
        let sleep = || crate::spawn::Launch::new("/bin/sleep", Path::new("/")).arg("60");
        let (mut left, mut stranger) = (spawner.spawn(sleep()).await.unwrap(), spawner.spawn(sleep()).await.unwrap());
        let marked = sleep().var(tree::SLOT_VARIABLE, slots.path().join("s9"));
        let mut marked = spawner.spawn(marked).await.unwrap();
        let start_ticks = tree::entry(left.pid()).unwrap().start_ticks;
        std::fs::write(slots.path().join("s1.pid"), format!("{} {start_ticks}", left.pid())).unwrap();
        std::fs::write(slots.path().join("s2.pid"), format!("{} 1", stranger.pid())).unwrap();
        let path = slots.path().to_owned();
        tokio::task::spawn_blocking(move || sweep(&path)).await.unwrap().unwrap();
        assert_eq!((left.wait().await, marked.wait().await), (crate::spawn::Exit::Signal(9), crate::spawn::Exit::Signal(9)));
        assert_eq!(stranger.ended(), None);
    }
}
