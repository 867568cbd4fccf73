//! `POST …/auth-sessions/{authSessionId}/validate/start`: accepts a check of a session and, where allowed, a new login if it
//! fails.

use std::sync::Arc;

use axum::extract::State;
use keywright_domain::{AuthSessionId, RunKind};
use keywright_store::SessionTarget;
use keywright_wire::{AuthSessionValidateRequest, ValidateStarted};

use super::{active_with_logins, keeps_input};
use crate::app::App;
use crate::http::answer::Created;
use crate::http::authentication::Caller;
use crate::http::body::StrictJson;
use crate::http::error::{ApiError, Refusals};
use crate::http::idempotency::{IdempotencyKey, Repeatable};
use crate::http::segments::{Segments, SessionPath, WorkspacePath, no_session};
use crate::input;
use crate::operations::accepted::{Intent, accept};

/// Validate an AuthSession, start
///
/// Answers with status `pending`, where create and update answer `started`.
#[utoipa::path(
    post,
    path = "/{workspaceId}/projects/{projectName}/auth-sessions/{authSessionId}/validate/start",
    operation_id = "ValidateAuthSessionStart",
    tag = "projects.authSessions.validate",
    params(WorkspacePath, SessionPath, IdempotencyKey),
    request_body = AuthSessionValidateRequest,
    responses((status = 201, description = "Queued.", body = ValidateStarted), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<SessionPath>,
    repeatable: Repeatable,
    StrictJson { value: body, digest }: StrictJson<AuthSessionValidateRequest>,
) -> Result<Created<ValidateStarted>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let active = active_with_logins(&project)?;
    let proxy = input::proxy(&app, "proxy", body.proxy.as_deref())?;
    input::project_proxy_exists(&app, &active.settings, proxy.as_ref())?;
    let id = AuthSessionId::parse(&path.auth_session_id).map_err(|_| no_session())?;
    let can_recreate = keeps_input(&app, &project, id.as_str()).await?;
    let intent = Intent {
        kind: RunKind::Validate,
        session: SessionTarget::Existing(id),
        input: None,
        proxy,
        create_attempts: input::attempts("createAttempts", body.create_attempts)?,
        check_attempts: input::attempts("checkAttempts", body.check_attempts)?,
        may_recreate: body.auto_recreate.unwrap_or(true) && can_recreate,
        timeout: input::timeout("requestTimeout", body.request_timeout)?,
        is_trace_wanted: true,
        idempotency: repeatable.with_body(digest),
    };
    let operation = accept(&app, &caller, &project, intent).await?;
    Ok(Created(ValidateStarted::from(&operation)))
}
