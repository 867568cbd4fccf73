//! The asynchronous operations on AuthSessions: their three starts, and the union in which their results are read.

use keywright_domain::{AuthSessionId, OperationId, RunId, RunKind, RunState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::scalar::present;
use crate::{ExecutionError, ExecutionReason, JsonObject, WholeNumber};

/// Logs in and keeps the login; under the name of an existing AuthSession it replaces that one once it has succeeded.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSessionCreateRequest {
    /// The name; made up when absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 3, max_length = 200, pattern = "^[a-zA-Z0-9-(),_]+$")]
    pub id: Option<String>,
    /// What `create` is called with. Kept encrypted and never shown.
    #[schema(value_type = Object)]
    pub parameters: JsonObject,
    /// The proxy of everything that is done with this AuthSession.
    #[serde(default)]
    #[schema(format = "uri")]
    pub proxy: Option<String>,
    /// Logins to try, 1 to 100.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 3, minimum = 1, maximum = 100)]
    pub create_attempts: Option<WholeNumber>,
    /// Checks to try after a login, 1 to 100.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 3, minimum = 1, maximum = 100)]
    pub check_attempts: Option<WholeNumber>,
    /// Whether to keep traces of the attempts.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = true)]
    pub save_trace: Option<bool>,
    /// Seconds for one attempt; over 21600 it means 21600.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 600, minimum = 1)]
    pub request_timeout: Option<WholeNumber>,
}

/// Logs in again with new input.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSessionUpdateRequest {
    /// What `create` is called with from now on, once it has succeeded.
    #[schema(value_type = Object)]
    pub parameters: JsonObject,
    /// The proxy from now on; none when absent.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Logins to try, 1 to 100.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 3, minimum = 1, maximum = 100)]
    pub create_attempts: Option<WholeNumber>,
    /// Checks to try after a login, 1 to 100.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 3, minimum = 1, maximum = 100)]
    pub check_attempts: Option<WholeNumber>,
    /// Whether to keep traces of the attempts.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = true)]
    pub save_trace: Option<bool>,
}

/// Checks a login and, where allowed, logs in again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSessionValidateRequest {
    /// Whether a failed check may be answered by a new login.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = true)]
    pub auto_recreate: Option<bool>,
    /// Checks in a row before the login counts as dead, 1 to 100.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 3, minimum = 1, maximum = 100)]
    pub check_attempts: Option<WholeNumber>,
    /// Logins to try, 1 to 100.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 3, minimum = 1, maximum = 100)]
    pub create_attempts: Option<WholeNumber>,
    /// The proxy of this validation, for an AuthSession that has none of its own.
    #[serde(default)]
    #[schema(format = "uri")]
    pub proxy: Option<String>,
    /// Seconds for one attempt, 1 to 21600.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 600, minimum = 1, maximum = 21600)]
    pub request_timeout: Option<WholeNumber>,
}

/// The only status of an accepted create or update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartedStatus {
    /// Queued.
    Started,
}

/// A create or update was accepted, durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStarted {
    /// Always `started`.
    pub status: StartedStatus,
    /// The handle for its result.
    pub operation_id: String,
}

impl From<&OperationId> for OperationStarted {
    fn from(id: &OperationId) -> Self {
        Self { status: StartedStatus::Started, operation_id: id.to_string() }
    }
}

/// The only status of an accepted validate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValidateStartedStatus {
    /// Queued.
    Pending,
}

/// A validate was accepted, durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidateStarted {
    /// Always `pending`.
    pub status: ValidateStartedStatus,
    /// The handle for its result.
    pub operation_id: String,
}

impl From<&OperationId> for ValidateStarted {
    fn from(id: &OperationId) -> Self {
        Self { status: ValidateStartedStatus::Pending, operation_id: id.to_string() }
    }
}

/// An operation as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum OperationResult {
    /// Queued.
    Pending {},
    /// Under way.
    InProgress {
        /// The run that performs it.
        #[serde(rename = "runId")]
        run_id: String,
    },
    /// The session's login holds.
    Done {
        /// The session.
        #[serde(rename = "authSessionId")]
        auth_session_id: String,
    },
    /// It does not.
    Failed {
        /// The error's text.
        message: String,
        /// Why.
        error: ExecutionError,
    },
    /// Stopped.
    Canceled {
        /// The reason's text.
        message: String,
        /// Why.
        reason: ExecutionReason,
    },
}

impl OperationResult {
    /// An operation as its run stands.
    #[must_use]
    pub fn new(session: &AuthSessionId, run: &RunId, state: &RunState) -> Self {
        match state {
            RunState::Pending => Self::Pending {},
            RunState::Started(_) => Self::InProgress { run_id: run.to_string() },
            RunState::Completed => Self::Done { auth_session_id: session.to_string() },
            RunState::Failed(failure) => Self::Failed { message: failure.message.clone(), error: failure.into() },
            RunState::Canceled(reason) => {
                let reason = ExecutionReason::from(reason);
                Self::Canceled { message: reason.message.clone(), reason }
            }
        }
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// Logs in for the first time, or anew under the same name.
    Create,
    /// Logs in with new input.
    Update,
    /// Checks, and logs in again where allowed.
    Validate,
}

impl OperationKind {
    /// The kind of the operation that such a run performs; a run of an API performs none.
    #[must_use]
    pub const fn of(kind: RunKind) -> Option<Self> {
        match kind {
            RunKind::Create => Some(Self::Create),
            RunKind::Update => Some(Self::Update),
            RunKind::Validate => Some(Self::Validate),
            RunKind::Api => None,
        }
    }
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// Queued.
    Pending,
    /// Under way.
    InProgress,
    /// The session's login holds.
    Done,
    /// It does not.
    Failed,
    /// Stopped.
    Canceled,
}

impl From<&RunState> for OperationStatus {
    fn from(state: &RunState) -> Self {
        match state {
            RunState::Pending => Self::Pending,
            RunState::Started(_) => Self::InProgress,
            RunState::Completed => Self::Done,
            RunState::Failed(_) => Self::Failed,
            RunState::Canceled(_) => Self::Canceled,
        }
    }
}

/// An operation of any kind, with the run under which its attempts are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its handle.
    pub operation_id: String,
    /// What it does.
    pub kind: OperationKind,
    /// The run that performs it.
    pub run_id: String,
    /// The session it is about.
    pub auth_session_id: String,
    /// Where it stands.
    pub status: OperationStatus,
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::{Progress, RunReason, Stage};
    use serde_json::{from_value, json, to_value};

    #[test]
    fn each_status_has_its_own_members() {
        let session = AuthSessionId::parse("shop-admin").unwrap();
        let run = RunId::from_entropy([0; 21]);
        let progress = Progress { stage: Stage::Create, used: 0, lost_in_row: 0, saw_user_fault: false };
        let answer = |state| to_value(OperationResult::new(&session, &run, &state)).unwrap();
        assert_eq!(answer(RunState::Pending), json!({"status": "pending"}));
        assert_eq!(answer(RunState::Started(progress)), json!({"status": "in_progress", "runId": "_____________________"}));
        assert_eq!(answer(RunState::Completed), json!({"status": "done", "authSessionId": "shop-admin"}));
        assert_eq!(
            answer(RunState::Canceled(RunReason::UserAction)),
            json!({"status": "canceled", "message": "canceled by a user",
                   "reason": {"type": "cancelled-user-action", "message": "canceled by a user"}})
        );
    }

    #[test]
    fn the_published_example_with_its_undeclared_member_is_read() {
        let body = json!({"parameters": {"username": "ada"}, "proxy": null, "requestTimeout": 60_000, "someday": []});
        let request: AuthSessionCreateRequest = from_value(body).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(request.request_timeout.map(WholeNumber::get), Some(60_000));
        assert!(from_value::<AuthSessionCreateRequest>(json!({"parameters": {}, "id": null})).is_err());
        assert!(from_value::<AuthSessionCreateRequest>(json!({})).is_err());
        assert!(from_value::<AuthSessionValidateRequest>(json!({})).is_ok());
    }
}
