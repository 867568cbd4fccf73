//! `GET …/run/{runId}/events`: what happened to a run, step by step: accepted, taken, tried, handed back, ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_store::RunEventRecord;
use keywright_wire::{RunEvent, RunEventKind, RunEventList, rfc3339};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{RunPath, Segments, WorkspacePath, no_run};

/// Most events of one answer. A run with every budget at its limit has fewer unless its workers keep dying.
const MAX_EVENTS: u32 = 1_000;

/// Read a run's history
///
/// The newest 1,000 events, oldest first. An event is written in the transaction that changes the run, and never changed.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/run/{runId}/events",
    operation_id = "listRunEvents",
    tag = "additive.runs",
    params(WorkspacePath, RunPath),
    responses((status = 200, description = "The events.", body = RunEventList), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<RunPath>,
) -> Result<Json<RunEventList>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let events = app.parts.store.list_run_events(&project.id, &path.run()?, MAX_EVENTS).await?.ok_or_else(no_run)?;
    Ok(Json(RunEventList { events: events.into_iter().map(shown).collect() }))
}

fn shown(event: RunEventRecord) -> RunEvent {
    RunEvent {
        at: rfc3339(event.at),
        kind: kind(event.kind),
        epoch: event.epoch.get(),
        worker_id: event.worker.map(|worker| worker.to_string()),
        attempt: event.attempt.map(keywright_domain::AttemptNumber::get),
        detail: event.detail,
    }
}

const fn kind(kind: keywright_store::RunEventKind) -> RunEventKind {
    use keywright_store::RunEventKind as Stored;

    match kind {
        Stored::Accepted => RunEventKind::Accepted,
        Stored::Claimed => RunEventKind::Claimed,
        Stored::Released => RunEventKind::Released,
        Stored::Rescued => RunEventKind::Rescued,
        Stored::AttemptBegun => RunEventKind::AttemptBegun,
        Stored::AttemptEnded => RunEventKind::AttemptEnded,
        Stored::Moved => RunEventKind::Moved,
    }
}
