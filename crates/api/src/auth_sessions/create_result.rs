//! `GET …/auth-sessions/create/{operationId}/result`: a create as it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{OperationKind, OperationResult};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{OperationPath, Segments, WorkspacePath};
use crate::operations::result_of;

/// Create an AuthSession, result
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/create/{operationId}/result",
    operation_id = "createAuthSessionResult",
    tag = "projects.authSessions.create",
    params(WorkspacePath, OperationPath),
    responses((status = 200, description = "The operation as it stands.", body = OperationResult), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<OperationPath>,
) -> Result<Json<OperationResult>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    result_of(&app, &project, &path.operation()?, OperationKind::Create, None).await.map(Json)
}
