//! AuthSessions: list, read, delete, and the three operations that log in, each with its result.

pub(crate) mod create;
pub(crate) mod create_result;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;
pub(crate) mod update_result;
pub(crate) mod validate;
pub(crate) mod validate_result;

use keywright_domain::SessionKind;
use keywright_store::{ActiveDeployment, AuthSession, Project};

use crate::app::App;
use crate::http::error::ApiError;
use crate::projects::active;

fn shown(session: &AuthSession) -> keywright_wire::AuthSession {
    keywright_wire::AuthSession::new(&session.id, session.kind, session.status)
}

/// The active deployment of a project that can log in.
fn active_with_logins(project: &Project) -> Result<&ActiveDeployment, ApiError> {
    let active = active(project)?;
    if active.settings.is_auth_enabled {
        Ok(active)
    } else {
        Err(ApiError::bad_request("AuthSessions are not enabled in the project's settings"))
    }
}

/// Whether the session, if there is one, keeps the input of its login. That of a RUNTIME session comes with its runs.
async fn keeps_input(app: &App, project: &Project, id: &str) -> Result<bool, ApiError> {
    let found = app.parts.store.find_auth_session(&project.id, id).await?;
    Ok(found.is_none_or(|session| session.kind == SessionKind::Credentials))
}

fn not_with_runtime() -> ApiError {
    ApiError::bad_request("this AuthSession is a RUNTIME one: its input comes with its runs and cannot be stored")
}
