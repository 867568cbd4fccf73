//! Projects: a name in a workspace, with one active deployment.

use async_trait::async_trait;
use keywright_domain::{ApiName, DeploymentId, ProjectId, ProjectName, Settings, Timestamp, WorkspaceId};

use crate::StoreError;

/// A project as a request needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Its identity.
    pub id: ProjectId,
    /// Its name.
    pub name: ProjectName,
    /// The deployment that new work uses. A project whose first deployment has not succeeded has none.
    pub active: Option<ActiveDeployment>,
    /// When it was first deployed.
    pub created_at: Timestamp,
}

/// What a request must know of the active deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveDeployment {
    /// Its identity.
    pub id: DeploymentId,
    /// Its settings.
    pub settings: Settings,
    /// Its APIs.
    pub apis: Vec<ApiName>,
}

/// Reading projects.
#[async_trait]
pub trait Projects {
    /// The project of this name in this workspace.
    async fn find_project(&self, workspace: &WorkspaceId, name: &str) -> Result<Option<Project>, StoreError>;

    /// All projects of the workspace, by name.
    async fn list_projects(&self, workspace: &WorkspaceId) -> Result<Vec<Project>, StoreError>;
}
