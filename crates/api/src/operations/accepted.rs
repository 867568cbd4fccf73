//! Acceptance: from an intent to the ids that the caller may poll. Whatever is answered here as accepted is on disk.

use keywright_domain::{Attempts, Budgets, OperationId, ProxyUrl, RunId, RunKind, RunPlan, Secret, TimeoutSeconds};
use keywright_store::{Accepted, Idempotency, NewOperation, Project, RunRequest, SessionTarget};
use serde_json::Value;
use thiserror::Error;

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::ApiError;
use crate::http::segments::no_session;

/// What a caller wants done with an AuthSession.
pub(crate) struct Intent {
    pub(crate) kind: RunKind,
    pub(crate) session: SessionTarget,
    pub(crate) input: Option<Secret<Value>>,
    pub(crate) proxy: Option<ProxyUrl>,
    pub(crate) create_attempts: Attempts,
    pub(crate) check_attempts: Attempts,
    pub(crate) may_recreate: bool,
    pub(crate) timeout: TimeoutSeconds,
    pub(crate) is_trace_wanted: bool,
    pub(crate) idempotency: Option<Idempotency>,
}

/// The store accepted an operation and gave it no handle.
#[derive(Debug, Error)]
#[error("an accepted operation has no handle")]
struct NoHandle;

/// Accepts an operation.
pub(crate) async fn accept(app: &App, caller: &Caller, project: &Project, intent: Intent) -> Result<OperationId, ApiError> {
    let new = NewOperation {
        request: RunRequest {
            id: RunId::from_entropy(app.parts.entropy.bytes()),
            plan: RunPlan {
                kind: intent.kind,
                // An operation never reaches the API's own code, so its budget there is never looked at.
                budgets: Budgets { create: intent.create_attempts, check: intent.check_attempts, api: Attempts::DEFAULT },
                may_recreate: intent.may_recreate,
                needs_session: true,
            },
            session: Some(intent.session),
            session_input: intent.input,
            proxy: intent.proxy,
            session_timeout: intent.timeout,
            is_session_trace_wanted: intent.is_trace_wanted,
            idempotency: intent.idempotency,
        },
        id: OperationId::from_entropy(app.parts.entropy.bytes()),
    };
    let accepted = app.parts.store.accept_operation(&caller.workspace, &project.id, new).await?;
    let (_, operation) = settle(accepted)?;
    operation.ok_or_else(|| ApiError::internal(NoHandle))
}

/// What became of a request: its ids, or why it was refused.
pub(crate) fn settle(accepted: Accepted) -> Result<(RunId, Option<OperationId>), ApiError> {
    match accepted {
        Accepted::New { run, operation } => {
            fail::fail_point!("api::accepted-before-answer");
            Ok((run, operation))
        }
        Accepted::Repeated { run, operation } => Ok((run, operation)),
        Accepted::KeyReused => Err(ApiError::bad_request("the Idempotency-Key was used for another request before")),
        Accepted::NoSuchSession => Err(no_session()),
        Accepted::NotRuntime => Err(ApiError::bad_member(
            "authSession.id",
            "names an AuthSession whose input is stored; leave `runtimeInput` out, or use another id",
        )),
    }
}
