//! `.keywright/manifest.json`: what a slot has to know of a deployment's folder.
//!
//! Written last by the build and by nothing else, so its presence means that the build is complete: a process that dies
//! before it leaves a folder that no slot accepts and that the next build of the same deployment replaces.
//! Refuses paths that leave the folder.

use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use keywright_domain::Language;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The folder inside a deployment that is Keywright's own. Nothing in it is the author's.
pub(crate) const OWN_FOLDER: &str = ".keywright";

/// Largest manifest that is read; ours are a hundred bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a deployment's folder cannot be used. Completes "failed to …".
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not there or not readable: the build did not come to its end, or the folder is gone.
    #[error("read {}", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not written by this program.
    #[error("understand {}: {why}", path.display())]
    Content {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk refused.
    #[error("write {}", path.display())]
    Write {
        /// The manifest.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What a slot has to know of a deployment's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Which runner.
    pub language: Language,
    /// The interpreter of the project's own environment, relative to the folder; the base environment's when absent.
    pub python: Option<PathBuf>,
    /// The folder whose `node_modules` holds the project's own Playwright, relative to the deployment's folder; the base
    /// environment's when absent.
    pub playwright_root: Option<PathBuf>,
    /// Whether the project has a setup hook, which is told the address of the browser's debugging port.
    pub has_hook: bool,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    language: String,
    python: Option<PathBuf>,
    playwright_root: Option<PathBuf>,
    has_hook: bool,
}

impl Manifest {
    /// Where the manifest of a deployment's folder is.
    #[must_use]
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(OWN_FOLDER).join("manifest.json")
    }

    /// Reads the manifest of a deployment's folder.
    ///
    /// # Errors
    /// When the build never came to its end, or the manifest is not ours.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = Self::path(folder);
        let read = || {
            let size_bytes = std::fs::metadata(&path)?.len();
            if size_bytes > MAX_BYTES {
                return Err(std::io::Error::other(format!("{size_bytes} bytes are more than a manifest has")));
            }
            std::fs::read(&path)
        };
        let bytes = read().map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        let content = |why: String| ManifestError::Content { path: path.clone(), why };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
        let language = Language::from_stored(&stored.language).ok_or_else(|| content("an unknown language".to_owned()))?;
        for inner in [&stored.python, &stored.playwright_root].into_iter().flatten() {
            if !inner.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
                return Err(content(format!("{} leaves the folder", inner.display())));
            }
        }
        Ok(Self { language, python: stored.python, playwright_root: stored.playwright_root, has_hook: stored.has_hook })
    }

    /// Writes the manifest: whole and on disk, or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<(), ManifestError> {
        let path = Self::path(folder);
        let stored = Stored {
            language: self.language.as_str().to_owned(),
            python: self.python.clone(),
            playwright_root: self.playwright_root.clone(),
            has_hook: self.has_hook,
        };
        let write = || {
            let own = folder.join(OWN_FOLDER);
            std::fs::create_dir_all(&own)?;
            let mut file = tempfile::Builder::new().prefix(".manifest").tempfile_in(&own)?;
            serde_json::to_writer(&mut file, &stored)?;
            file.flush()?;
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            std::fs::File::open(&own)?.sync_all()
        };
        write().map_err(|source: std::io::Error| ManifestError::Write { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        for (python, playwright_root) in [(None, None), (Some(".keywright/venv/bin/python"), None), (None, Some("."))] {
            let manifest = Manifest {
                language: if python.is_some() { Language::Python } else { Language::Node },
                python: python.map(PathBuf::from),
                playwright_root: playwright_root.map(PathBuf::from),
                has_hook: python.is_some(),
            };
            manifest.write(folder.path()).unwrap();
            assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        }
    }

    #[test]
    fn an_unfinished_or_foreign_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::read(folder.path()), Err(ManifestError::Read { .. })));
        std::fs::create_dir(folder.path().join(OWN_FOLDER)).unwrap();
        for content in [
            "",
            "{}",
            r#"{"language":"cobol","python":null,"playwrightRoot":null,"hasHook":false}"#,
            r#"{"language":"python","python":"/usr/bin/python3","playwrightRoot":null,"hasHook":false}"#,
            r#"{"language":"python","python":"../python","playwrightRoot":null,"hasHook":false}"#,
        ] {
            std::fs::write(Manifest::path(folder.path()), content).unwrap();
            assert!(matches!(Manifest::read(folder.path()), Err(ManifestError::Content { .. })), "{content}");
        }
        std::fs::write(Manifest::path(folder.path()), vec![b' '; 65 * 1024]).unwrap();
        assert!(matches!(Manifest::read(folder.path()), Err(ManifestError::Read { .. })));
    }
}
