//! `POST …/run/{runId}/cancel`: stops a run for good. One that has ended already stays as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_domain::RunReason;
use keywright_wire::RunResult;

use super::shown;
use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{RunPath, Segments, WorkspacePath, no_run};

/// Cancel a run
///
/// When the answer arrives, nothing more of the run will start; an attempt under way is ended within ten seconds. Canceling
/// an ended run changes nothing. Works for the runs of operations too.
#[utoipa::path(
    post,
    path = "/{workspaceId}/projects/{projectName}/run/{runId}/cancel",
    operation_id = "cancelRun",
    tag = "additive.runs",
    params(WorkspacePath, RunPath),
    responses((status = 200, description = "The run as it stands now.", body = RunResult), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<RunPath>,
) -> Result<Json<RunResult>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let run = path.run()?;
    let canceled = app.parts.store.cancel_run(&project.id, &run, RunReason::UserAction).await?;
    fail::fail_point!("api::canceled-before-answer");
    Ok(Json(shown(canceled.ok_or_else(no_run)?)))
}
