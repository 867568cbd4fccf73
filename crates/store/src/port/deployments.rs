//! Deployments: uploaded, then built by the engine, then ready or refused; immutable ever after.

use async_trait::async_trait;
use keywright_domain::{
    ApiName, DeploymentId, DeploymentStatus, InvalidSettings, Language, Problem, ProjectId, ProjectName, Settings, Timestamp,
    WorkerId, WorkspaceId,
};

use crate::StoreError;

/// An upload to be accepted. The archive lies in the blob store already.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// Its identity.
    pub id: DeploymentId,
    /// The project's identity, should it be new.
    pub project_id_if_new: ProjectId,
    /// The project's name.
    pub project: ProjectName,
    /// SHA-256 of the archive, lower-case hex.
    pub digest: String,
    /// Size of the archive.
    pub size_bytes: u64,
}

/// What a build found out.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltDeployment {
    /// The language.
    pub language: Language,
    /// The settings file's name, in [`keywright_domain::SETTINGS_FILES`].
    pub settings_file: String,
    /// The settings file's content, parsed again whenever it is needed.
    pub settings_text: String,
    /// Every API.
    pub apis: Vec<ApiName>,
    /// The interpreter of its own environment; the base one when absent.
    pub python: Option<String>,
    /// The folder whose `node_modules` holds its own Playwright; the base one when absent.
    pub playwright_root: Option<String>,
    /// What the deployer should know.
    pub warnings: Vec<Problem>,
}

impl BuiltDeployment {
    /// The parsed settings.
    ///
    /// # Errors
    /// When the settings file cannot be read as one, which the build has made sure of once.
    pub fn settings(&self) -> Result<Settings, InvalidSettings> {
        Settings::parse(&self.settings_file, self.settings_text.as_bytes())
    }
}

/// A deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its identity.
    pub id: DeploymentId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its project.
    pub project: ProjectId,
    /// Its project's name.
    pub project_name: ProjectName,
    /// How far it has come.
    pub status: DeploymentStatus,
    /// Whether new work uses it.
    pub is_active: bool,
    /// What the build found out; absent until it is ready.
    pub built: Option<BuiltDeployment>,
    /// What is wrong with it; empty unless it failed.
    pub problems: Vec<Problem>,
    /// SHA-256 of the archive, lower-case hex.
    pub digest: String,
    /// Size of the archive.
    pub size_bytes: u64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When its build ended.
    pub finished_at: Option<Timestamp>,
}

impl Deployment {
    /// The parsed settings, once it is built.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        self.built.as_ref()?.settings().ok()
    }
}

/// What became of the end of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildEnd {
    /// It is stored.
    Stored,
    /// The build is not this worker's any more. Nothing was changed.
    Stale,
}

/// Uploads, builds, activation.
#[async_trait]
pub trait Deployments {
    /// Accepts an upload for building, making the project if it is new.
    async fn accept_deployment(&self, workspace: &WorkspaceId, new: NewDeployment) -> Result<Deployment, StoreError>;

    /// Gives the worker the oldest deployment that waits for a build, that nobody else builds, and whose labels it carries.
    /// One that is this worker's already is given again: an earlier claim whose commit was unknown may have succeeded.
    async fn claim_build(&self, worker: &WorkerId) -> Result<Option<Deployment>, StoreError>;

    /// Hands a build back undone. Nothing happens unless it is this worker's.
    async fn release_build(&self, worker: &WorkerId, id: &DeploymentId) -> Result<(), StoreError>;

    /// Ends a build well and activates the deployment, unless a later upload is active already. Work that is under way stays
    /// on its own deployment. When the settings that are now active switch access over the API off, unfinished runs of APIs
    /// are canceled with that reason in the same transaction.
    async fn finish_build(&self, worker: &WorkerId, id: &DeploymentId, built: BuiltDeployment) -> Result<BuildEnd, StoreError>;

    /// Ends a build badly. The active deployment stays what it was.
    async fn refuse_build(&self, worker: &WorkerId, id: &DeploymentId, problems: Vec<Problem>) -> Result<BuildEnd, StoreError>;

    /// One deployment of a project.
    async fn find_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError>;

    /// A deployment by its identity alone, for the engine.
    async fn get_deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError>;

    /// The newest deployments of a project, newest first, at most `limit`.
    async fn list_deployments(&self, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, StoreError>;

    /// Makes a ready deployment the active one, with the same consequences for unfinished runs as [`Self::finish_build`].
    /// Returns it, or nothing if it is not ready or not of this project.
    async fn activate_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError>;
}
