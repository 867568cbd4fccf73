//! What every slot of a pool has in common: folders, sandbox, browsers, the thread that starts processes.
//!
//! Opening it ends what an earlier life of the server left and empties the folders of slots and raw traces.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use keywright_domain::{BrowserChoice, DeploymentId};
use tokio_util::task::TaskTracker;

use crate::environment::{Environment, SlotKind, folder_of_program, runner};
use crate::folder::{SlotFolder, sweep, wipe};
use crate::manifest::{Manifest, ManifestError};
use crate::pool::{BrowserConfig, PoolConfig, PoolError};
use crate::runtime::RuntimePaths;
use crate::sandbox::{Protections, Sandbox, SandboxPolicy};
use crate::spawn::Spawner;

/// The name of the folder that the sandbox is tried in.
const TRIAL_FOLDER: &str = "trial";

/// What every slot of a pool has in common.
#[derive(Debug)]
pub(crate) struct Yard {
    runtime: RuntimePaths,
    deployments: PathBuf,
    slots: PathBuf,
    traces: PathBuf,
    browser: BrowserConfig,
    sandbox: Sandbox,
    protections: Protections,
    spawner: Spawner,
    tasks: TaskTracker,
    next_slot: AtomicU64,
}

impl Yard {
    /// Cleans up after an earlier life, and finds out what the host allows.
    ///
    /// # Errors
    /// When a folder cannot be used, something of an earlier life cannot be ended, or a required sandbox cannot be had.
    pub(crate) async fn open(config: PoolConfig) -> Result<Self, PoolError> {
        let PoolConfig { runtime, deployments, slots, traces, concurrency: _, browser, sandbox: policy } = config;
        let made = tokio::task::spawn_blocking(move || make_folders(&deployments, &slots, &traces)).await;
        let (deployments, slots, traces) =
            made.map_err(|_| PoolError::Folders(io::Error::other("interrupted")))?.map_err(PoolError::Folders)?;
        let spawner = Spawner::start().map_err(PoolError::Folders)?;
        let trial = slots.join(TRIAL_FOLDER);
        wipe(&trial).map_err(PoolError::Folders)?;
        let (sandbox, protections) = Sandbox::probe(&spawner, &trial).await;
        std::fs::remove_dir_all(&trial).map_err(PoolError::Folders)?;
        let is_whole = protections.is_runner_sandboxed && protections.is_browser_sandboxed && protections.is_unprivileged;
        match policy {
            SandboxPolicy::Required if !is_whole => Err(PoolError::NoSandbox(protections.missing.join("; "))),
            SandboxPolicy::Required | SandboxPolicy::WhereAllowed => Ok(Self {
                runtime,
                deployments,
                slots,
                traces,
                browser,
                sandbox,
                protections,
                spawner,
                tasks: TaskTracker::new(),
                next_slot: AtomicU64::new(1),
            }),
        }
    }

    /// How slots are protected.
    pub(crate) const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The same for people.
    pub(crate) const fn protections(&self) -> &Protections {
        &self.protections
    }

    /// Starts processes.
    pub(crate) const fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Holds every task of the pool, so that closing can wait for them.
    pub(crate) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// How browsers are started.
    pub(crate) const fn browser(&self) -> &BrowserConfig {
        &self.browser
    }

    /// The program of a browser.
    pub(crate) fn browser_program(&self, choice: BrowserChoice) -> &Path {
        match choice {
            BrowserChoice::HeadlessShell => &self.browser.headless_shell,
            BrowserChoice::Chromium => &self.browser.chromium,
        }
    }

    /// Where raw traces go.
    pub(crate) fn traces(&self) -> &Path {
        &self.traces
    }

    /// The files of a deployment.
    pub(crate) fn deployment_folder(&self, deployment: &DeploymentId) -> PathBuf {
        self.deployments.join(deployment.as_str())
    }

    /// What a deployment needs.
    ///
    /// # Errors
    /// When its build is not complete.
    pub(crate) async fn manifest(&self, deployment: &DeploymentId) -> Result<Manifest, ManifestError> {
        let folder = self.deployment_folder(deployment);
        let path = Manifest::path(&folder);
        tokio::task::spawn_blocking(move || Manifest::read(&folder))
            .await
            .map_err(|_| ManifestError::Content { path, why: "it was not read to its end".to_owned() })?
    }

    /// A folder for a new slot.
    pub(crate) fn new_folder(&self) -> io::Result<SlotFolder> {
        let number = self.next_slot.fetch_add(1, Ordering::Relaxed);
        SlotFolder::create(&self.slots, &format!("s{number}"), &self.sandbox)
    }

    /// How to start a runner of a kind in a slot's folder, and what it must be able to read.
    pub(crate) async fn environment(&self, kind: &SlotKind, slot: &Path, socket: &str) -> io::Result<Environment> {
        let own = match &kind.own {
            Some(deployment) => {
                Some((self.deployment_folder(deployment), self.manifest(deployment).await.map_err(io::Error::other)?))
            }
            None => None,
        };
        let own = own.as_ref().map(|(folder, manifest)| (folder.as_path(), manifest));
        let mut environment = runner(&self.runtime, kind.language, own, slot, socket)?;
        environment.readable.push(self.deployments.clone());
        environment.readable.extend(folder_of_program(self.browser_program(kind.browser)));
        Ok(environment)
    }
}

/// Ends what is left of an earlier life and makes the folders, free of links in their names.
fn make_folders(deployments: &Path, slots: &Path, traces: &Path) -> io::Result<(PathBuf, PathBuf, PathBuf)> {
    std::fs::create_dir_all(deployments)?;
    // Runners are another user.
    std::fs::set_permissions(deployments, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    std::fs::create_dir_all(slots)?;
    let slots = slots.canonicalize()?;
    sweep(&slots)?;
    wipe(&slots)?;
    wipe(traces)?;
    Ok((deployments.canonicalize()?, slots, traces.canonicalize()?))
}
