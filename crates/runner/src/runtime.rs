//! Where the installed base environments of the runners are, and how they come there. One folder, installed once,
//! read-only afterwards, shared by any number of servers.
//!
//! The binary carries the runners' sources; their dependencies come from the package registries at exactly the locked
//! versions. Everything is installed into a sibling that gets its final name when it is complete, under a lock, so two
//! servers that start at once install once, and a process that dies here leaves a folder that the next one removes.
//! Refuses, with the fix named, a machine without Node, npm or Python.

mod installation;

use std::path::{Path, PathBuf};

pub(crate) use self::installation::ask;
pub use self::installation::{Installer, RuntimeError};

/// The installed base environments.
#[derive(Clone, Debug)]
pub struct RuntimePaths {
    root: PathBuf,
}

impl RuntimePaths {
    /// The environments below `root`, installed if they are not there yet.
    ///
    /// # Errors
    /// When the machine lacks something, or an installer failed. See [`RuntimeError`].
    pub async fn ensure(root: &Path, installer: &Installer) -> Result<Self, RuntimeError> {
        installation::ensure(root, installer).await.map(|root| Self { root })
    }

    /// The environments below `root`, if they are installed. Installs nothing.
    ///
    /// # Errors
    /// When the machine lacks something. See [`RuntimeError`].
    pub async fn find(root: &Path, installer: &Installer) -> Result<Option<Self>, RuntimeError> {
        Ok(installation::find(root, installer).await?.map(|root| Self { root }))
    }

    /// The environments in `root`, which must be complete.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The Node runner's program.
    #[must_use]
    pub fn node_main(&self) -> PathBuf {
        self.root.join("node/src/main.mjs")
    }

    /// The program that bundles a project's entries.
    #[must_use]
    pub fn node_bundler(&self) -> PathBuf {
        self.root.join("node/src/bundle.mjs")
    }

    /// The packages that the Node runner stands on.
    #[must_use]
    pub fn node_modules(&self) -> PathBuf {
        self.root.join("node/node_modules")
    }

    /// The Python runner's packages.
    #[must_use]
    pub fn python_source(&self) -> PathBuf {
        self.root.join("python/src")
    }

    /// The base environment's Python.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.root.join("python/.venv/bin/python")
    }

    /// What the Python runner stands on, with its lock.
    #[must_use]
    pub fn python_project(&self) -> PathBuf {
        self.root.join("python")
    }

    /// The installer of Python packages.
    #[must_use]
    pub fn uv(&self) -> PathBuf {
        self.root.join("tools/bin/uv")
    }

    /// Page scripts that both runners use.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }
}
