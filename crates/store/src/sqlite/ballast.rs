//! A reserve of disk space: a file beside the database that is given up when the disk is full, so that what ends something
//! (a run's outcome, a cancellation, a lease that is kept or given back) can still be written while everything else is
//! refused.
//!
//! If the process dies here, the next one makes the file again, or finds it. A disk that has no room for it, or a file system
//! that cannot set space aside, has no reserve; then whatever the disk does not take is refused, as it comes.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::file::beside;

/// How much is set aside. Thousands of endings of runs, and long enough for somebody to notice.
const BALLAST_BYTES: u64 = 16 * 1024 * 1024;

/// Methods that end something or give it back. They write little, and what they write makes room elsewhere.
const ENDINGS: [&str; 8] = [
    "commit_run",
    "cancel_run",
    "release_run",
    "release_build",
    "renew_worker",
    "retire_worker",
    "acquire_lease",
    "expire_history",
];

/// Where the reserve is.
#[derive(Debug)]
enum Reserve {
    /// There never was one.
    None,
    /// Set aside.
    Held(PathBuf),
    /// Given up, and to be set aside again before ordinary work is done.
    Released(PathBuf),
}

/// The reserve of one database.
#[derive(Debug)]
pub(super) struct Ballast(Reserve);

impl Ballast {
    /// No reserve, for whoever is not the database's server.
    pub(super) const fn none() -> Self {
        Self(Reserve::None)
    }

    /// Sets the reserve aside beside the database at `path`, if the disk has room for it.
    pub(super) fn beside(path: &Path) -> Self {
        let path = beside(path, ".ballast");
        match set_aside(&path) {
            Ok(()) => Self(Reserve::Held(path)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "no disk space could be set aside; a full disk stops all writes at once");
                Self(Reserve::None)
            }
        }
    }

    /// Gives the reserve up, because the disk is full.
    pub(super) fn release(&mut self) {
        if let Reserve::Held(path) = &self.0 {
            match std::fs::remove_file(path) {
                Ok(()) => tracing::warn!("the disk is full: only what ends something is written until there is room again"),
                Err(error) => tracing::warn!(%error, "the disk is full, and the reserve cannot be given up"),
            }
            self.0 = Reserve::Released(path.clone());
        }
    }

    /// Whether this method's work has to be refused: the reserve is given up and cannot be set aside again yet.
    pub(super) fn refuses(&self, method: &str) -> bool {
        matches!(self.0, Reserve::Released(_)) && !ENDINGS.contains(&method)
    }

    /// Sets the reserve aside again if it was given up and there is room by now.
    pub(super) fn restore(&mut self) {
        if let Reserve::Released(path) = &self.0
            && set_aside(path).is_ok()
        {
            tracing::info!("there is disk space again");
            self.0 = Reserve::Held(path.clone());
        }
    }
}

/// Makes the file with all of its space, or nothing.
fn set_aside(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let done = fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES);
    done.map_err(|error| {
        // Half a reserve is none, and would only take room away. If it cannot be removed, it is found at the next attempt.
        let _ = std::fs::remove_file(path);
        error.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_reserve_refuses_all_but_endings_until_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("keywright.db");
        let file = folder.path().join("keywright.db.ballast");
        let mut ballast = Ballast::beside(&database);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), BALLAST_BYTES);
        assert!(!ballast.refuses("accept_run") && !ballast.refuses("commit_run"));

        ballast.release();
        assert!(!file.exists());
        assert!(ballast.refuses("accept_run") && ballast.refuses("claim_runs") && ballast.refuses("begin_attempt"));
        assert!(!ballast.refuses("commit_run") && !ballast.refuses("cancel_run") && !ballast.refuses("renew_worker"));

        ballast.restore();
        assert!(file.exists() && !ballast.refuses("accept_run"));
        // A later life finds it and goes on with it.
        assert!(!Ballast::beside(&database).refuses("accept_run"));
    }

    #[test]
    fn without_a_reserve_nothing_is_refused() {
        let mut ballast = Ballast::beside(Path::new("/proc/no/such/folder/keywright.db"));
        ballast.release();
        assert!(!ballast.refuses("accept_run"));
    }
}
