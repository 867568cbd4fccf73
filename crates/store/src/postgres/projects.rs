//! Projects as rows, read together with their active deployment.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::WorkspaceId;

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use crate::halt::Halt;
use crate::row::projects::read_project;
use crate::{Project, Projects, StoreError, Vault};

#[async_trait]
impl Projects for PostgresStore {
    async fn find_project(&self, workspace: &WorkspaceId, name: &str) -> Result<Option<Project>, StoreError> {
        let input = (self.desk.vault.clone(), workspace.clone(), name.to_owned());
        self.read(Lane::Api, "find_project", input, |link, (vault, workspace, name)| {
            find_project(link, vault, workspace, name).boxed()
        })
        .await
    }

    async fn list_projects(&self, workspace: &WorkspaceId) -> Result<Vec<Project>, StoreError> {
        let input = (self.desk.vault.clone(), workspace.clone());
        self.read(Lane::Api, "list_projects", input, |link, (vault, workspace)| list_projects(link, vault, workspace).boxed())
            .await
    }
}

async fn find_project(link: &mut Link, vault: &Vault, workspace: &WorkspaceId, name: &str) -> Result<Option<Project>, Halt> {
    let statement = sqlx::query(
        "SELECT p.*, d.built_sealed FROM projects p LEFT JOIN deployments d ON d.id = p.active_deployment
         WHERE p.workspace_id = $1 AND p.name = $2",
    )
    .bind(workspace.as_str())
    .bind(name.to_owned());
    link.read_optional(statement).await?.as_ref().map(|row| read_project(row, vault, workspace)).transpose()
}

async fn list_projects(link: &mut Link, vault: &Vault, workspace: &WorkspaceId) -> Result<Vec<Project>, Halt> {
    let statement = sqlx::query(
        "SELECT p.*, d.built_sealed FROM projects p LEFT JOIN deployments d ON d.id = p.active_deployment
         WHERE p.workspace_id = $1 ORDER BY p.name",
    )
    .bind(workspace.as_str());
    link.read_all(statement).await?.iter().map(|row| read_project(row, vault, workspace)).collect()
}
