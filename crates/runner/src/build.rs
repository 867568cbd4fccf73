//! Makes a deployment out of an upload: unpacked, checked, its dependencies installed, bundled, and loaded once.
//!
//! Everything of the author's that runs here (install scripts, build back ends, the modules themselves) runs in the same
//! sandbox as an attempt, with nothing secret in it. Refused, with file and line where there is one, is what would fail at
//! the first run anyway. The manifest is written last: a process that dies in the middle leaves a folder that no slot
//! accepts, and the next build of the same deployment begins from nothing. A build that fails or is dropped removes what it
//! made and ends what it started.

mod entries;
mod inspection;
mod node;
mod project;
mod python;
mod python_version;
mod secrets;
mod workshop;

pub use project::check_settings;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use keywright_domain::{ApiName, DeploymentId, Language, Problem};
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore};

use self::project::Project;
use self::workshop::Workshop;
use crate::archive::{UNFINISHED, UnpackError, unpack};
use crate::folder::{remove, remove_unfinished, sweep, wipe};
use crate::manifest::{Manifest, ManifestError, OWN_FOLDER};
use crate::modes::readable_for_everybody;
use crate::runtime::{Installer, RuntimePaths};
use crate::sandbox::Sandbox;
use crate::spawn::Spawner;
use crate::tools::ToolError;

/// Builds at one time; each downloads, compiles and starts interpreters beside the attempts that are running.
const MAX_BUILDS: usize = 2;

/// Most problems and warnings told of one project.
const MAX_PROBLEMS: usize = 100;

/// Longest message of one.
const MAX_MESSAGE_CHARS: usize = 2_000;

/// What a builder stands on.
#[derive(Clone, Debug)]
pub struct BuilderConfig {
    /// The base environments.
    pub runtime: RuntimePaths,
    /// Where deployments are; one folder each, named by its id.
    pub deployments: PathBuf,
    /// A folder of the builder's own, on the same file system as the deployments. It is emptied when the builder is opened.
    pub scratch: PathBuf,
    /// How packages are fetched.
    pub installer: Installer,
}

/// Why there is no builder. Completes "failed to open the builder: …".
#[derive(Debug, Error)]
pub enum BuilderError {
    /// A folder cannot be used, or something of an earlier life does not end.
    #[error("its folders cannot be used")]
    Folders(#[source] io::Error),
}

/// What a build made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The project's language.
    pub language: Language,
    /// Which settings file it has.
    pub settings_file: String,
    /// What is in it.
    pub settings_text: String,
    /// Its APIs, in order.
    pub apis: Vec<ApiName>,
    /// The interpreter of its own environment, relative to its folder; the base environment's when absent.
    pub python: Option<String>,
    /// The folder of its own Playwright, relative to its folder; the base environment's when absent.
    pub playwright_root: Option<String>,
    /// What its author should know, although it can be used.
    pub warnings: Vec<Problem>,
}

/// Why there is no deployment.
#[derive(Debug, Error)]
pub enum BuildFailure {
    /// The project has problems that its author must solve. At least one.
    #[error("the project has {} problems", .0.len())]
    Refused(Vec<Problem>),
    /// The machine has one. Says nothing about the project.
    #[error("the project could not be built")]
    Infrastructure(#[source] BuildFault),
}

/// What was wrong with the machine. Completes "failed to …".
#[derive(Debug, Error)]
pub enum BuildFault {
    /// The disk refused.
    #[error("{what}")]
    Disk {
        /// Completes "failed to …".
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An installer could not do its work for reasons that are not the project's.
    #[error("{0}")]
    Tool(String),
    /// The runner did not come up.
    #[error("start a runner to check the project: it {0}")]
    Runner(String),
    /// The manifest could not be written.
    #[error("finish the deployment")]
    Manifest(#[source] ManifestError),
    /// The server is going down.
    #[error("finish before the server ended")]
    Interrupted,
}

impl From<BuildFault> for BuildFailure {
    fn from(fault: BuildFault) -> Self {
        Self::Infrastructure(fault)
    }
}

impl From<ToolError> for BuildFailure {
    fn from(error: ToolError) -> Self {
        Self::Infrastructure(BuildFault::Tool(error.to_string()))
    }
}

impl From<Problem> for BuildFailure {
    fn from(problem: Problem) -> Self {
        Self::Refused(vec![problem])
    }
}

/// A fault of the disk while doing `what`.
fn disk(what: &'static str) -> impl Fn(io::Error) -> BuildFailure {
    move |source| BuildFailure::Infrastructure(BuildFault::Disk { what, source })
}

/// Builds deployments. Clones share everything.
#[derive(Clone, Debug)]
pub struct Builder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: BuilderConfig,
    sandbox: Sandbox,
    spawner: Spawner,
    room: Semaphore,
    /// Held while a project is unpacked, which goes on when its build is dropped: the next try of the same deployment must
    /// not meet it half-way.
    disk: Arc<Mutex<()>>,
    next: AtomicU64,
}

impl Builder {
    /// Ends what an earlier life left, and finds out how builds can be protected.
    ///
    /// # Errors
    /// When a folder cannot be used.
    pub async fn open(config: BuilderConfig) -> Result<Self, BuilderError> {
        let BuilderConfig { runtime, deployments, scratch, installer } = config;
        let prepare = move || {
            std::fs::create_dir_all(&deployments)?;
            std::fs::create_dir_all(&scratch)?;
            let (deployments, scratch) = (deployments.canonicalize()?, scratch.canonicalize()?);
            sweep(&scratch)?;
            wipe(&scratch)?;
            // Runners enter it under another user's name; its folders are private to each.
            std::fs::set_permissions(&scratch, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            remove_unfinished(&deployments, UNFINISHED)?;
            let trial = scratch.join("trial");
            wipe(&trial)?;
            Ok((deployments, scratch, trial))
        };
        let prepared = tokio::task::spawn_blocking(prepare).await.unwrap_or_else(|_| Err(io::Error::other("interrupted")));
        let (deployments, scratch, trial) = prepared.map_err(BuilderError::Folders)?;
        let spawner = Spawner::start().map_err(BuilderError::Folders)?;
        let (sandbox, _protections) = Sandbox::probe(&spawner, &trial).await;
        std::fs::remove_dir_all(&trial).map_err(BuilderError::Folders)?;
        let config = BuilderConfig { runtime, deployments, scratch, installer };
        let (room, disk, next) = (Semaphore::new(MAX_BUILDS), Arc::default(), AtomicU64::new(1));
        Ok(Self { inner: Arc::new(Inner { config, sandbox, spawner, room, disk, next }) })
    }

    /// Builds one upload, from nothing, whatever an earlier try left. `relax_python` allows another Python than the project
    /// asks for when the machine has none that fits.
    ///
    /// # Errors
    /// See [`BuildFailure`]. Nothing is left behind then.
    pub async fn build(&self, id: &DeploymentId, archive: Bytes, relax_python: bool) -> Result<Built, BuildFailure> {
        let inner = &*self.inner;
        let _room = inner.room.acquire().await.map_err(|_| BuildFault::Interrupted)?;
        let mut unfinished = Unfinished { folder: inner.config.deployments.join(id.as_str()), is_complete: false };
        let folder = unfinished.folder.clone();
        let name = format!("{id}-{}", inner.next.fetch_add(1, Ordering::Relaxed));
        let workshop = Workshop::open(&inner.config, &inner.sandbox, &inner.spawner, &name)?;
        let built = inner.build(&workshop, &folder, archive, relax_python).await;
        workshop.close().await?;
        match built {
            Ok(built) => {
                unfinished.is_complete = true;
                Ok(built)
            }
            Err(BuildFailure::Refused(problems)) => Err(BuildFailure::Refused(bounded(problems))),
            Err(failure @ BuildFailure::Infrastructure(_)) => Err(failure),
        }
    }

    /// Whether the deployment was built on this machine and is whole.
    pub async fn is_built(&self, id: &DeploymentId) -> bool {
        let folder = self.inner.config.deployments.join(id.as_str());
        // The manifest is written last, so where it can be read nothing is missing.
        tokio::task::spawn_blocking(move || Manifest::read(&folder).is_ok()).await.unwrap_or(false)
    }
}

impl Inner {
    async fn build(
        &self,
        workshop: &Workshop<'_>,
        folder: &Path,
        archive: Bytes,
        relax_python: bool,
    ) -> Result<Built, BuildFailure> {
        let target = folder.to_owned();
        let alone = Arc::clone(&self.disk).lock_owned().await;
        let project = blocking(move || {
            let _alone = alone;
            remove(&target).map_err(disk("remove an earlier build"))?;
            unpack(&archive, &target).map_err(|error| match error {
                UnpackError::Refused(problem) => BuildFailure::from(problem),
                UnpackError::Disk(source) => disk("unpack the project")(source),
            })?;
            Project::read(&target)
        })
        .await?;
        let mut warnings = project.warnings.clone();
        let manifest = match project.language {
            Language::Node => node::install(workshop, folder, &mut warnings).await?,
            Language::Python => python::install(workshop, folder, relax_python, &mut warnings).await?,
        };
        let manifest = Manifest { has_hook: project.has_hook, ..manifest };
        if project.language == Language::Node {
            node::bundle(workshop, folder).await?;
        }
        let own = folder.to_owned();
        blocking(move || finish_files(&own).map_err(disk("make the project readable"))).await?;
        warnings.extend(inspection::inspect(workshop, folder, &project, &manifest).await?);
        let (target, written) = (folder.to_owned(), manifest.clone());
        blocking(move || written.write(&target).map_err(|error| BuildFault::Manifest(error).into())).await?;
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        Ok(Built {
            language: project.language,
            settings_file: project.settings_file,
            settings_text: project.settings_text,
            apis: project.apis,
            python: text(&manifest.python),
            playwright_root: text(&manifest.playwright_root),
            warnings: bounded(warnings),
        })
    }
}

/// A deployment's folder until it is complete; removed when it is dropped before.
struct Unfinished {
    folder: PathBuf,
    is_complete: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_complete
            && let Err(error) = remove(&self.folder)
        {
            tracing::error!(folder = %self.folder.display(), %error, "a failed build could not be removed");
        }
    }
}

/// Makes everything readable for runners and writable for none, and has it on the disk before the manifest says so.
fn finish_files(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder.join(OWN_FOLDER))?;
    readable_for_everybody(folder)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, BuildFailure> + Send + 'static) -> Result<T, BuildFailure> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(BuildFailure::Infrastructure(BuildFault::Interrupted)))
}

/// No more than a person reads, and none of it endless.
fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    let left_out = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    for problem in &mut problems {
        if let Some((at, _)) = problem.message.char_indices().nth(MAX_MESSAGE_CHARS) {
            problem.message.truncate(at);
        }
    }
    if left_out > 0 {
        problems.push(Problem { file: String::new(), line: None, message: format!("and {left_out} more") });
    }
    problems
}

/// The first line of a text that holds all of `parts`, 1-based.
fn line_with(text: &str, parts: &[&str]) -> Option<u32> {
    let at = text.lines().position(|line| parts.iter().all(|part| line.contains(part)))?;
    u32::try_from(at + 1).ok()
}

/// The line of a place in a text, 1-based.
fn line_at(text: &str, offset: usize) -> Option<u32> {
    let before = text.as_bytes().get(..offset)?;
    u32::try_from(before.iter().filter(|byte| **byte == b'\n').count() + 1).ok()
}
