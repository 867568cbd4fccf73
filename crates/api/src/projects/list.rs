//! `GET …/projects`: the projects of a workspace.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_domain::ApiName;
use keywright_wire::{Project, ProjectList, rfc3339};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::WorkspacePath;

/// List projects
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects",
    operation_id = "listProjects",
    tag = "additive.projects",
    params(WorkspacePath),
    responses((status = 200, description = "All projects, by name.", body = ProjectList), Refusals)
)]
pub(crate) async fn handle(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<ProjectList>, ApiError> {
    let projects = app.parts.store.list_projects(&caller.workspace).await?;
    Ok(Json(ProjectList { projects: projects.into_iter().map(shown).collect() }))
}

fn shown(project: keywright_store::Project) -> Project {
    let active = project.active.as_ref();
    Project {
        name: project.name.to_string(),
        active_deployment_id: active.map(|active| active.id.to_string()),
        auth_sessions_enabled: active.is_some_and(|active| active.settings.is_auth_enabled),
        apis: active.map(|active| active.apis.iter().map(ApiName::to_string).collect()).unwrap_or_default(),
        created_at: rfc3339(project.created_at),
    }
}
