//! `POST …/auth-sessions/create`: accepts a login that is to be kept. Under the name of an existing session it replaces that
//! one, once it has succeeded and not before.

use std::sync::Arc;

use axum::extract::State;
use keywright_domain::{AuthSessionId, RunKind, Secret, SessionKey};
use keywright_store::SessionTarget;
use keywright_wire::{AuthSessionCreateRequest, OperationStarted};

use super::{active_with_logins, keeps_input, not_with_runtime};
use crate::app::App;
use crate::http::answer::Created;
use crate::http::authentication::Caller;
use crate::http::body::StrictJson;
use crate::http::error::{ApiError, Refusals};
use crate::http::idempotency::{IdempotencyKey, Repeatable};
use crate::http::segments::{ProjectPath, Segments, WorkspacePath};
use crate::input;
use crate::operations::accepted::{Intent, accept};

/// Create an AuthSession, start
///
/// Logs in with the project's `create`, then proves the login with its `check`. When the answer arrives, the operation is on
/// disk.
#[utoipa::path(
    post,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/create",
    operation_id = "CreateOrUpdateAuthSessionStart",
    tag = "projects.authSessions.create",
    params(WorkspacePath, ProjectPath, IdempotencyKey),
    request_body = AuthSessionCreateRequest,
    responses((status = 201, description = "Queued.", body = OperationStarted), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<ProjectPath>,
    repeatable: Repeatable,
    StrictJson { value: body, digest }: StrictJson<AuthSessionCreateRequest>,
) -> Result<Created<OperationStarted>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let active = active_with_logins(&project)?;
    let proxy = input::proxy(&app, "proxy", body.proxy.as_deref())?;
    input::project_proxy_exists(&app, &active.settings, proxy.as_ref())?;
    let id = match &body.id {
        Some(id) => AuthSessionId::parse(id).map_err(|error| ApiError::bad_member("id", error))?,
        None => AuthSessionId::from_entropy(app.parts.entropy.bytes()),
    };
    if !keeps_input(&app, &project, id.as_str()).await? {
        return Err(not_with_runtime());
    }
    let intent = Intent {
        kind: RunKind::Create,
        session: SessionTarget::CreateOrReplace { id, key_if_new: SessionKey::from_entropy(app.parts.entropy.bytes()) },
        input: Some(Secret::new(body.parameters.into_value())),
        proxy,
        create_attempts: input::attempts("createAttempts", body.create_attempts)?,
        check_attempts: input::attempts("checkAttempts", body.check_attempts)?,
        may_recreate: false,
        timeout: input::capped_timeout("requestTimeout", body.request_timeout)?,
        is_trace_wanted: body.save_trace.unwrap_or(true),
        idempotency: repeatable.with_body(digest),
    };
    let operation = accept(&app, &caller, &project, intent).await?;
    Ok(Created(OperationStarted::from(&operation)))
}
