//! `POST …/run/start`: accepts one run of one API.

use std::sync::Arc;

use axum::extract::State;
use keywright_domain::{ApiName, RunId, RunKind, RunPlan, Secret};
use keywright_store::{ActiveDeployment, NewRun, RunRequest};
use keywright_wire::{RunStartRequest, RunStarted};

use super::login::{Login, login};
use crate::app::App;
use crate::http::answer::Created;
use crate::http::authentication::Caller;
use crate::http::body::StrictJson;
use crate::http::error::{ApiError, Refusals};
use crate::http::idempotency::{IdempotencyKey, Repeatable};
use crate::http::segments::{ProjectPath, Segments, WorkspacePath};
use crate::input;
use crate::operations::accepted::settle;
use crate::projects::active;

/// Start a run
///
/// Queues one execution of one API and answers at once with its identifier. When the answer arrives, the run is on disk.
#[utoipa::path(
    post,
    path = "/{workspaceId}/projects/{projectName}/run/start",
    operation_id = "runApiStart",
    tag = "projects.runs",
    params(WorkspacePath, ProjectPath, IdempotencyKey),
    request_body = RunStartRequest,
    responses((status = 201, description = "Queued.", body = RunStarted), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<ProjectPath>,
    repeatable: Repeatable,
    StrictJson { value: body, digest }: StrictJson<RunStartRequest>,
) -> Result<Created<RunStarted>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let active = active(&project)?;
    if !active.settings.is_api_access_enabled {
        return Err(ApiError::bad_request("the project's settings switch access over the API off"));
    }
    if body.sink.is_some() {
        return Err(ApiError::bad_member(
            "sink",
            "is not served: this version does not deliver results yet; read them back instead",
        ));
    }
    let api = known_api(active, &body.api)?;
    let login = login(&app, &project, active, &body).await?;
    let proxy = input::proxy(&app, "proxy", body.proxy.as_deref())?;
    let proxy = login.as_ref().and_then(|login| login.proxy.clone()).or(proxy);
    input::project_proxy_exists(&app, &active.settings, proxy.as_ref())?;
    let timeout = input::timeout("requestTimeout", body.request_timeout)?;
    let api_attempts = input::attempts("retry.maximumAttempts", body.retry.and_then(|retry| retry.maximum_attempts))?;

    let needs_session = login.is_some();
    let Login { target, session_input, budgets, may_recreate, timeout: session_timeout, is_trace_wanted, proxy: _ } =
        login.unwrap_or_else(|| Login::none(timeout));
    let is_run_trace_wanted = body.save_trace.unwrap_or(true);
    let new = NewRun {
        request: RunRequest {
            id: RunId::from_entropy(app.parts.entropy.bytes()),
            plan: RunPlan { kind: RunKind::Api, budgets: budgets.with_api(api_attempts), may_recreate, needs_session },
            session: target,
            session_input,
            proxy,
            session_timeout,
            is_session_trace_wanted: is_trace_wanted.unwrap_or(is_run_trace_wanted),
            idempotency: repeatable.with_body(digest),
        },
        api,
        parameters: Secret::new(body.parameters.into_value()),
        timeout,
        is_trace_wanted: is_run_trace_wanted,
        sink: None,
    };
    let accepted = app.parts.store.accept_run(&caller.workspace, &project.id, new).await?;
    let (run, _) = settle(accepted)?;
    Ok(Created(RunStarted::from(&run)))
}

fn known_api(active: &ActiveDeployment, name: &str) -> Result<ApiName, ApiError> {
    let api = ApiName::parse(name).map_err(|error| ApiError::bad_member("api", error))?;
    if active.apis.contains(&api) {
        Ok(api)
    } else {
        Err(ApiError::bad_member("api", "is not the name of an API of the project"))
    }
}
