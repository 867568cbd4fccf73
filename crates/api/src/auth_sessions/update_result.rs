//! `GET …/auth-sessions/{authSessionId}/update/{operationId}/result`: an update as it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{OperationKind, OperationResult};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{Segments, SessionOperationPath, WorkspacePath};
use crate::operations::result_of;

/// Update an AuthSession, result
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/{authSessionId}/update/{operationId}/result",
    operation_id = "updateAuthSessionResult",
    tag = "projects.authSessions.update",
    params(WorkspacePath, SessionOperationPath),
    responses((status = 200, description = "The operation as it stands.", body = OperationResult), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<SessionOperationPath>,
) -> Result<Json<OperationResult>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    result_of(&app, &project, &path.operation()?, OperationKind::Update, Some(&path.auth_session_id)).await.map(Json)
}
