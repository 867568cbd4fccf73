//! Where the installed base environments of the runners are. One folder, installed once, read-only afterwards, shared by
//! any number of servers.

use std::path::{Path, PathBuf};

/// The installed base environments.
#[derive(Clone, Debug)]
pub struct RuntimePaths {
    root: PathBuf,
}

impl RuntimePaths {
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

    /// Page scripts that both runners use.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }
}
