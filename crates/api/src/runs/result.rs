//! `GET …/run/{runId}/result`: a run as it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::RunResult;

use super::shown;
use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{RunPath, Segments, WorkspacePath, no_run};

/// Read a run
///
/// One flat object whose members depend on `status`. A failed or canceled run is still a 200.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/run/{runId}/result",
    operation_id = "runApiResult",
    tag = "projects.runs",
    params(WorkspacePath, RunPath),
    responses((status = 200, description = "The run as it stands.", body = RunResult), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<RunPath>,
) -> Result<Json<RunResult>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let run = app.parts.store.find_run(&project.id, &path.run()?).await?.ok_or_else(no_run)?;
    Ok(Json(shown(run)))
}
