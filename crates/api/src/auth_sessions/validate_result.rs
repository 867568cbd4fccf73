//! `GET …/auth-sessions/{authSessionId}/validate/{operationId}/result`: a validate as it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{OperationKind, OperationResult};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{Segments, SessionOperationPath, WorkspacePath};
use crate::operations::result_of;

/// Validate an AuthSession, result
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/{authSessionId}/validate/{operationId}/result",
    operation_id = "validateAuthSessionResult",
    tag = "projects.authSessions.validate",
    params(WorkspacePath, SessionOperationPath),
    responses((status = 200, description = "The operation as it stands.", body = OperationResult), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<SessionOperationPath>,
) -> Result<Json<OperationResult>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    result_of(&app, &project, &path.operation()?, OperationKind::Validate, Some(&path.auth_session_id)).await.map(Json)
}
