//! `GET …/operations/{operationId}`: an operation of any kind, with the run under which its attempts are found.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{Operation, OperationKind, OperationStatus};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{OperationPath, Segments, WorkspacePath, no_operation};

/// Read an operation
///
/// Its run's attempts, logs and traces are under `…/run/{runId}/attempts`.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/operations/{operationId}",
    operation_id = "getOperation",
    tag = "additive.operations",
    params(WorkspacePath, OperationPath),
    responses((status = 200, description = "The operation.", body = Operation), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<OperationPath>,
) -> Result<Json<Operation>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let operation = app.parts.store.find_operation(&project.id, &path.operation()?).await?.ok_or_else(no_operation)?;
    Ok(Json(Operation {
        operation_id: operation.id.to_string(),
        kind: OperationKind::of(operation.kind).ok_or_else(no_operation)?,
        run_id: operation.run.to_string(),
        auth_session_id: operation.session.to_string(),
        status: OperationStatus::from(&operation.state),
    }))
}
