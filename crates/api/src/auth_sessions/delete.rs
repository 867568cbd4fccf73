//! `DELETE …/auth-sessions/{authSessionId}`: forgets a session with everything secret about it. Accepted work that needs it
//! ends canceled when it comes to it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{ProjectPath, Segments, SessionPath, WorkspacePath, no_session};

/// Delete an AuthSession
#[utoipa::path(
    delete,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/{authSessionId}",
    operation_id = "deleteAuthSession",
    tag = "projects.authSessions",
    params(WorkspacePath, SessionPath),
    responses((status = 204, description = "Deleted."), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<SessionPath>,
) -> Result<StatusCode, ApiError> {
    forget(&app, &caller, &path.project_name, &path.auth_session_id).await
}

/// The session that is named like the route that creates.
pub(crate) async fn handle_named_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<ProjectPath>,
) -> Result<StatusCode, ApiError> {
    forget(&app, &caller, &path.project_name, "create").await
}

async fn forget(app: &App, caller: &Caller, project_name: &str, id: &str) -> Result<StatusCode, ApiError> {
    let project = app.project(&caller.workspace, project_name).await?;
    let is_gone = app.parts.store.delete_auth_session(&project.id, id).await?;
    fail::fail_point!("api::deleted-before-answer");
    if is_gone { Ok(StatusCode::NO_CONTENT) } else { Err(no_session()) }
}
