//! The login that a run asks for: a stored AuthSession by its id, or one made from input that the run brings along.

use keywright_domain::{Attempts, AuthSessionId, Budgets, ProxyUrl, Secret, SessionKey, SessionKind, TimeoutSeconds};
use keywright_store::{ActiveDeployment, Project, SessionTarget};
use keywright_wire::{RunAuthSession, RunStartRequest};
use serde_json::Value;

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::segments::no_session;
use crate::input;

/// What a run asks of its login.
pub(super) struct Login {
    pub(super) target: Option<SessionTarget>,
    pub(super) session_input: Option<Secret<Value>>,
    pub(super) budgets: LoginBudgets,
    pub(super) may_recreate: bool,
    pub(super) timeout: TimeoutSeconds,
    /// As for the run when nothing was said.
    pub(super) is_trace_wanted: Option<bool>,
    pub(super) proxy: Option<ProxyUrl>,
}

/// How often each stage of a login may be tried.
pub(super) struct LoginBudgets {
    create: Attempts,
    check: Attempts,
}

impl LoginBudgets {
    pub(super) const fn with_api(&self, api: Attempts) -> Budgets {
        Budgets { create: self.create, check: self.check, api }
    }
}

impl Login {
    /// For a run that needs none; what it says is never looked at.
    pub(super) const fn none(timeout: TimeoutSeconds) -> Self {
        Self {
            target: None,
            session_input: None,
            budgets: LoginBudgets { create: Attempts::DEFAULT, check: Attempts::DEFAULT },
            may_recreate: false,
            timeout,
            is_trace_wanted: None,
            proxy: None,
        }
    }
}

/// Reads the login of a run. A project with AuthSessions needs one in every run; a project without them can have none.
pub(super) async fn login(
    app: &App,
    project: &Project,
    active: &ActiveDeployment,
    body: &RunStartRequest,
) -> Result<Option<Login>, ApiError> {
    let asked = match (&body.auth_session, active.settings.is_auth_enabled) {
        (None, false) => return Ok(None),
        (None, true) => return Err(ApiError::bad_member("authSession", "is required: the project has AuthSessions enabled")),
        (Some(_), false) => {
            return Err(ApiError::bad_member(
                "authSession",
                "cannot be used: AuthSessions are not enabled in the project's settings",
            ));
        }
        (Some(asked), true) => asked,
    };
    let (target, session_input, may_recreate) = match &asked.runtime_input {
        Some(input) => (runtime(app, asked)?, Some(Secret::new(input.clone().into_value())), true),
        None => stored(app, project, asked).await?,
    };
    Ok(Some(Login {
        target: Some(target),
        session_input,
        budgets: LoginBudgets {
            create: input::attempts("authSession.createAttempts", asked.create_attempts)?,
            check: input::attempts("authSession.checkAttempts", asked.check_attempts)?,
        },
        may_recreate,
        timeout: input::timeout("authSession.requestTimeout", asked.request_timeout)?,
        is_trace_wanted: asked.save_trace,
        proxy: input::proxy(app, "authSession.proxy", asked.proxy.as_deref())?,
    }))
}

fn runtime(app: &App, asked: &RunAuthSession) -> Result<SessionTarget, ApiError> {
    let key_if_new = SessionKey::from_entropy(app.parts.entropy.bytes());
    Ok(match &asked.id {
        Some(id) => SessionTarget::Runtime {
            id: AuthSessionId::parse(id).map_err(|error| ApiError::bad_member("authSession.id", error))?,
            key_if_new,
            is_ephemeral: false,
        },
        None => {
            SessionTarget::Runtime { id: AuthSessionId::from_entropy(app.parts.entropy.bytes()), key_if_new, is_ephemeral: true }
        }
    })
}

async fn stored(
    app: &App,
    project: &Project,
    asked: &RunAuthSession,
) -> Result<(SessionTarget, Option<Secret<Value>>, bool), ApiError> {
    let Some(id) = &asked.id else {
        return Err(ApiError::bad_member("authSession.id", "is required without `runtimeInput`"));
    };
    // A name that no session can have is the name of no session.
    let id = AuthSessionId::parse(id).map_err(|_| no_session())?;
    // Whether it is there is decided in the transaction that accepts the run; here only what kind it is. The input of a
    // RUNTIME session is not kept, so there is nothing to log in with again.
    let found = app.parts.store.find_auth_session(&project.id, id.as_str()).await?;
    let can_recreate = found.is_none_or(|session| session.kind == SessionKind::Credentials);
    Ok((SessionTarget::Existing(id), None, asked.auto_recreate.unwrap_or(true) && can_recreate))
}
