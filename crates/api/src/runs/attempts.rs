//! `GET …/run/{runId}/attempts`: what was tried, and how each try ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_domain::AttemptFailure;
use keywright_store::{AttemptOutcome, AttemptRecord, TraceStatus};
use keywright_wire::{Attempt, AttemptList, AttemptStatus, Trace, TraceState, rfc3339};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{RunPath, Segments, WorkspacePath, no_run};

/// List the attempts of a run
///
/// In order, over all stages. The run of an operation is found by `GET …/operations/{operationId}`.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/run/{runId}/attempts",
    operation_id = "listAttempts",
    tag = "additive.runs",
    params(WorkspacePath, RunPath),
    responses((status = 200, description = "The attempts.", body = AttemptList), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<RunPath>,
) -> Result<Json<AttemptList>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let attempts = app.parts.store.list_attempts(&project.id, &path.run()?).await?.ok_or_else(no_run)?;
    Ok(Json(AttemptList { attempts: attempts.into_iter().map(shown).collect() }))
}

fn shown(attempt: AttemptRecord) -> Attempt {
    let (status, failure): (AttemptStatus, Option<&AttemptFailure>) = match &attempt.outcome {
        None => (AttemptStatus::Running, None),
        Some(AttemptOutcome::Succeeded) => (AttemptStatus::Succeeded, None),
        Some(AttemptOutcome::Failed(failure)) => (AttemptStatus::Failed, Some(failure)),
        Some(AttemptOutcome::Aborted) => (AttemptStatus::Aborted, None),
    };
    let trace = match attempt.trace {
        TraceStatus::None => Trace { status: TraceState::None, reason: None },
        TraceStatus::Pending => Trace { status: TraceState::Pending, reason: None },
        TraceStatus::Stored(_) => Trace { status: TraceState::Stored, reason: None },
        TraceStatus::Dropped(reason) => Trace { status: TraceState::Dropped, reason: Some(reason) },
    };
    Attempt {
        number: attempt.number.get(),
        worker_id: attempt.worker.to_string(),
        stage: attempt.stage.into(),
        status,
        error: failure.map(Into::into),
        started_at: rfc3339(attempt.started_at),
        ended_at: attempt.ended_at.map(rfc3339),
        has_log: attempt.log_blob.is_some(),
        trace,
    }
}
