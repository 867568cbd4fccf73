//! Where one build works: a folder of its own that the sandboxed tools may write into, and the way to start them.
//!
//! If the process dies here, the folder and whatever still runs in it are found and removed when the builder is opened the
//! next time.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::{BuildFailure, BuilderConfig, blocking, disk};
use crate::folder::SlotFolder;
use crate::runtime::{Installer, RuntimePaths};
use crate::sandbox::{Reach, Sandbox};
use crate::spawn::{Launch, Spawner};
use crate::tools::{self, Finished, ToolError};

/// Installing takes as long as the slowest download; longer than this nobody waits.
const TOOL_TIMEOUT: Duration = Duration::from_mins(10);

/// Largest file that is read of what a tool left: a package file.
const MAX_READ_BYTES: u64 = 1024 * 1024;

/// One build's place.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    config: &'a BuilderConfig,
    sandbox: &'a Sandbox,
    spawner: &'a Spawner,
    folder: Option<SlotFolder>,
}

impl<'a> Workshop<'a> {
    /// Makes the folder.
    pub(super) fn open(
        config: &'a BuilderConfig,
        sandbox: &'a Sandbox,
        spawner: &'a Spawner,
        name: &str,
    ) -> Result<Self, BuildFailure> {
        let folder = SlotFolder::create(&config.scratch, name, sandbox).map_err(disk("make a folder for the build"))?;
        Ok(Self { config, sandbox, spawner, folder: Some(folder) })
    }

    pub(super) fn runtime(&self) -> &'a RuntimePaths {
        &self.config.runtime
    }

    pub(super) fn installer(&self) -> &'a Installer {
        &self.config.installer
    }

    pub(super) fn sandbox(&self) -> &'a Sandbox {
        self.sandbox
    }

    pub(super) fn spawner(&self) -> &'a Spawner {
        self.spawner
    }

    /// The folder, private to the user inside the sandbox.
    pub(super) fn slot(&self) -> &SlotFolder {
        self.folder.as_ref().expect("it is there until the workshop is closed")
    }

    pub(super) fn path(&self) -> &Path {
        self.slot().path()
    }

    /// Whether code of strangers can be kept away from the machine while it is installed.
    pub(super) fn may_run_scripts(&self) -> bool {
        self.sandbox.has_pid_namespace()
    }

    /// A folder in the workshop, for the user inside.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, BuildFailure> {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).map_err(disk("make a folder for the build"))?;
        self.sandbox.give(&path).map_err(disk("make a folder for the build"))?;
        Ok(path)
    }

    /// A small file that a tool left in the workshop; nothing when it is not a plain file, or reached through a link.
    pub(super) fn read(&self, inner: &Path) -> Option<Bytes> {
        self.slot().read_beneath(inner, MAX_READ_BYTES).ok().flatten()
    }

    /// Writes a new file for the tools. Directly in the workshop, where no tool can have put a link in the way.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf, BuildFailure> {
        let path = self.path().join(name);
        let write = || {
            let mut file = File::options().write(true).create_new(true).open(&path)?;
            file.write_all(content.as_bytes())?;
            self.sandbox.give(&path)
        };
        write().map_err(disk("write a file for the build"))?;
        Ok(path)
    }

    /// The launch of an installer that works in `folder`.
    pub(super) fn tool(&self, program: &Path, folder: &Path) -> Launch {
        self.config.installer.launch(program, folder, self.path())
    }

    /// Runs a tool in the sandbox. It may write into the workshop and `writable`, and read the runners and `readable`.
    pub(super) async fn run(
        &self,
        launch: Launch,
        name: &str,
        writable: &[PathBuf],
        readable: &[PathBuf],
    ) -> Result<Finished, ToolError> {
        let writable = [&[self.path().to_owned()], writable].concat();
        let readable = [&[self.runtime().root().to_owned()], readable].concat();
        let launch = self.sandbox.wrap(launch, Reach { writable: &writable, readable: &readable });
        tools::run(self.spawner, launch, Path::new(name), self.path(), TOOL_TIMEOUT).await
    }

    /// Removes the folder.
    pub(super) async fn close(mut self) -> Result<(), BuildFailure> {
        match self.folder.take() {
            Some(folder) => blocking(move || folder.remove().map_err(disk("remove the folder of the build"))).await,
            None => Ok(()),
        }
    }
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        // Dropped half-way: what worked here is being killed, and what it still writes is removed at the next start.
        if let Some(Err(error)) = self.folder.take().map(|folder| folder.remove()) {
            tracing::warn!(%error, "the folder of a build that was given up is left until the next start");
        }
    }
}

/// Whether an installer failed because it could not reach the registry, rather than because of what it was asked for.
pub(super) fn is_network_trouble(words: &str) -> bool {
    const SIGNS: [&str; 12] = [
        "ENOTFOUND",
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "ENETUNREACH",
        "ERR_SOCKET_TIMEOUT",
        "dns error",
        "error sending request",
        "Connection refused",
        "operation timed out",
        "UNABLE_TO_GET_ISSUER_CERT",
    ];
    SIGNS.iter().any(|sign| words.contains(sign))
}
