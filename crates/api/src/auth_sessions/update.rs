//! `POST …/auth-sessions/{authSessionId}/update`: accepts a login with new input for an existing session. Until it has
//! succeeded, the old login stays in force.

use std::sync::Arc;

use axum::extract::State;
use keywright_domain::{AuthSessionId, RunKind, Secret, TimeoutSeconds};
use keywright_store::SessionTarget;
use keywright_wire::{AuthSessionUpdateRequest, OperationStarted};

use super::{active_with_logins, keeps_input, not_with_runtime};
use crate::app::App;
use crate::http::answer::Created;
use crate::http::authentication::Caller;
use crate::http::body::StrictJson;
use crate::http::error::{ApiError, Refusals};
use crate::http::idempotency::{IdempotencyKey, Repeatable};
use crate::http::segments::{Segments, SessionPath, WorkspacePath, no_session};
use crate::input;
use crate::operations::accepted::{Intent, accept};

/// Update an AuthSession, start
#[utoipa::path(
    post,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/{authSessionId}/update",
    operation_id = "UpdateAuthSessionStart",
    tag = "projects.authSessions.update",
    params(WorkspacePath, SessionPath, IdempotencyKey),
    request_body = AuthSessionUpdateRequest,
    responses((status = 201, description = "Queued.", body = OperationStarted), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<SessionPath>,
    repeatable: Repeatable,
    StrictJson { value: body, digest }: StrictJson<AuthSessionUpdateRequest>,
) -> Result<Created<OperationStarted>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let active = active_with_logins(&project)?;
    let proxy = input::proxy(&app, "proxy", body.proxy.as_deref())?;
    input::project_proxy_exists(&app, &active.settings, proxy.as_ref())?;
    let id = AuthSessionId::parse(&path.auth_session_id).map_err(|_| no_session())?;
    if !keeps_input(&app, &project, id.as_str()).await? {
        return Err(not_with_runtime());
    }
    let intent = Intent {
        kind: RunKind::Update,
        session: SessionTarget::Existing(id),
        input: Some(Secret::new(body.parameters.into_value())),
        proxy,
        create_attempts: input::attempts("createAttempts", body.create_attempts)?,
        check_attempts: input::attempts("checkAttempts", body.check_attempts)?,
        may_recreate: false,
        timeout: TimeoutSeconds::DEFAULT,
        is_trace_wanted: body.save_trace.unwrap_or(true),
        idempotency: repeatable.with_body(digest),
    };
    let operation = accept(&app, &caller, &project, intent).await?;
    Ok(Created(OperationStarted::from(&operation)))
}
