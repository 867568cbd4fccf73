//! Projects as rows, read together with their active deployment.

use async_trait::async_trait;
use keywright_domain::WorkspaceId;
use sqlx::SqlitePool;

use super::SqliteStore;
use crate::halt::Halt;
use crate::row::projects::read_project;
use crate::{Project, Projects, StoreError, Vault};

#[async_trait]
impl Projects for SqliteStore {
    async fn find_project(&self, workspace: &WorkspaceId, name: &str) -> Result<Option<Project>, StoreError> {
        self.open_sealed("find_project", || find_project(&self.readers, &self.vault, workspace, name)).await
    }

    async fn list_projects(&self, workspace: &WorkspaceId) -> Result<Vec<Project>, StoreError> {
        self.open_sealed("list_projects", || list_projects(&self.readers, &self.vault, workspace)).await
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
