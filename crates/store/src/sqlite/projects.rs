//! Projects as rows, read together with their active deployment.

use async_trait::async_trait;
use keywright_domain::{DeploymentId, ProjectId, ProjectName, WorkspaceId};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::deployments::open_built;
use super::halt::{Halt, InMethod as _};
use super::row::Fields;
use crate::{ActiveDeployment, Project, Projects, StoreError, Vault};

#[async_trait]
impl Projects for SqliteStore {
    async fn find_project(&self, workspace: &WorkspaceId, name: &str) -> Result<Option<Project>, StoreError> {
        find_project(&self.readers, &self.vault, workspace, name).await.in_method("find_project")
    }

    async fn list_projects(&self, workspace: &WorkspaceId) -> Result<Vec<Project>, StoreError> {
        list_projects(&self.readers, &self.vault, workspace).await.in_method("list_projects")
    }
}

async fn find_project(readers: &SqlitePool, vault: &Vault, workspace: &WorkspaceId, name: &str) -> Result<Option<Project>, Halt> {
    let row = sqlx::query(
        "SELECT p.*, d.built_sealed FROM projects p LEFT JOIN deployments d ON d.id = p.active_deployment
         WHERE p.workspace_id = $1 AND p.name = $2",
    )
    .bind(workspace.as_str())
    .bind(name)
    .fetch_optional(readers)
    .await?;
    row.as_ref().map(|row| read_project(row, vault, workspace)).transpose()
}

async fn list_projects(readers: &SqlitePool, vault: &Vault, workspace: &WorkspaceId) -> Result<Vec<Project>, Halt> {
    let rows = sqlx::query(
        "SELECT p.*, d.built_sealed FROM projects p LEFT JOIN deployments d ON d.id = p.active_deployment
         WHERE p.workspace_id = $1 ORDER BY p.name",
    )
    .bind(workspace.as_str())
    .fetch_all(readers)
    .await?;
    rows.iter().map(|row| read_project(row, vault, workspace)).collect()
}

fn read_project(row: &SqliteRow, vault: &Vault, workspace: &WorkspaceId) -> Result<Project, Halt> {
    let fields = Fields::new(row, "projects", "id")?;
    let active = match fields.parse_optional("active_deployment", DeploymentId::parse)? {
        None => None,
        Some(id) => {
            let sealed: Option<Vec<u8>> = fields.get("built_sealed")?;
            let sealed = sealed.ok_or_else(|| fields.corrupt("active_deployment", "that deployment is not ready"))?;
            let built = open_built(vault, workspace, &id, &sealed)?;
            let settings =
                built.settings().map_err(|error| fields.corrupt("active_deployment", format!("its settings file {error}")))?;
            Some(ActiveDeployment { id, settings, apis: built.apis })
        }
    };
    Ok(Project {
        id: fields.parse("id", ProjectId::parse)?,
        name: fields.parse("name", ProjectName::parse)?,
        active,
        created_at: fields.timestamp("created_at")?,
    })
}
