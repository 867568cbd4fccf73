//! `GET …/auth-sessions/{authSessionId}`: one session's name, type and status. What is in it is never shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::AuthSession;

use super::shown;
use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{ProjectPath, Segments, SessionPath, WorkspacePath, no_session};

/// Read an AuthSession
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/{authSessionId}",
    operation_id = "getAuthSession",
    tag = "projects.authSessions",
    params(WorkspacePath, SessionPath),
    responses((status = 200, description = "The AuthSession.", body = AuthSession), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<SessionPath>,
) -> Result<Json<AuthSession>, ApiError> {
    read(&app, &caller, &path.project_name, &path.auth_session_id).await
}

/// The session that is named like the route that creates.
pub(crate) async fn handle_named_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<ProjectPath>,
) -> Result<Json<AuthSession>, ApiError> {
    read(&app, &caller, &path.project_name, "create").await
}

async fn read(app: &App, caller: &Caller, project_name: &str, id: &str) -> Result<Json<AuthSession>, ApiError> {
    let project = app.project(&caller.workspace, project_name).await?;
    let session = app.parts.store.find_auth_session(&project.id, id).await?.ok_or_else(no_session)?;
    Ok(Json(shown(&session)))
}
