//! `GET …/auth-sessions`: all sessions of a project.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::AuthSession;

use super::shown;
use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{ProjectPath, Segments, WorkspacePath};

/// List AuthSessions
///
/// A bare array, by name, unpaginated.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions",
    operation_id = "getAuthSessions",
    tag = "projects.authSessions",
    params(WorkspacePath, ProjectPath),
    responses((status = 200, description = "All AuthSessions of the project.", body = Vec<AuthSession>), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<ProjectPath>,
) -> Result<Json<Vec<AuthSession>>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let sessions = app.parts.store.list_auth_sessions(&project.id).await?;
    Ok(Json(sessions.iter().map(shown).collect()))
}
