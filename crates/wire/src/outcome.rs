//! Why a run or an operation did not succeed, inside a 200: the error and the reason, with the clients' closed sets of codes.

use keywright_domain::{AttemptCode, AttemptFailure, Category, Dependency, RunCode, RunFailure, RunReason};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutionCategory {
    /// The operator.
    Infrastructure,
    /// The author of the project.
    Execution,
    /// Whoever holds the credentials.
    Auth,
}

impl From<Category> for ExecutionCategory {
    fn from(category: Category) -> Self {
        match category {
            Category::Infrastructure => Self::Infrastructure,
            Category::Execution => Self::Execution,
            Category::Auth => Self::Auth,
        }
    }
}

/// Why an attempt, a run or an operation failed. The clients know more codes; these are the ones this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutionCode {
    /// Our own fault.
    InternalServerError,
    /// The process that held the code ended.
    ScriptProcessCrashed,
    /// The code threw.
    ScriptExecutionException,
    /// The code ended without a result that is JSON.
    ScriptNoValidOutputReceived,
    /// The result is over its limit.
    ResultTooBigError,
    /// The attempt's time was over.
    ScriptTimeout,
    /// `check` did anything but return true.
    AuthCheckFailed,
    /// No check passed and no login was allowed.
    CheckAttemptsFailed,
    /// No login succeeded.
    CreateAttemptsFailed,
    /// The check after a login never passed.
    PostCreateCheckAttemptsFailed,
    /// Every attempt of the API was used up.
    ApiAttemptsFailed,
}

impl From<AttemptCode> for ExecutionCode {
    fn from(code: AttemptCode) -> Self {
        match code {
            AttemptCode::ScriptExecutionException => Self::ScriptExecutionException,
            AttemptCode::ScriptTimeout => Self::ScriptTimeout,
            AttemptCode::ScriptProcessCrashed => Self::ScriptProcessCrashed,
            AttemptCode::ScriptNoValidOutput => Self::ScriptNoValidOutputReceived,
            AttemptCode::ResultTooBig => Self::ResultTooBigError,
            AttemptCode::AuthCheckFailed => Self::AuthCheckFailed,
            AttemptCode::InternalServerError => Self::InternalServerError,
        }
    }
}

impl From<RunCode> for ExecutionCode {
    fn from(code: RunCode) -> Self {
        match code {
            RunCode::ApiAttemptsFailed => Self::ApiAttemptsFailed,
            RunCode::CreateAttemptsFailed => Self::CreateAttemptsFailed,
            RunCode::PostCreateCheckAttemptsFailed => Self::PostCreateCheckAttemptsFailed,
            RunCode::CheckAttemptsFailed => Self::CheckAttemptsFailed,
            RunCode::InternalServerError => Self::InternalServerError,
            // A failed run never has these: they are causes of a cancellation, where they are sent as they are. If one came
            // here all the same, the clients would raise on its name, so it is called what it then is.
            RunCode::AuthSessionNotFound | RunCode::AuthSessionLocked => Self::InternalServerError,
        }
    }
}

/// Why a run or an operation failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExecutionError {
    /// One sentence for a person.
    pub message: String,
    /// The closed reason.
    pub code: ExecutionCode,
    /// Who has to act.
    pub category: ExecutionCategory,
    /// Whether the same request may succeed when it is simply sent again.
    pub retirable: bool,
    /// `attempts_count`, and `last_error` with the `code`, `category` and `message` of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub details: Option<Value>,
}

impl From<&RunFailure> for ExecutionError {
    fn from(failure: &RunFailure) -> Self {
        Self {
            message: failure.message.clone(),
            code: failure.code.into(),
            category: failure.category().into(),
            retirable: failure.code.is_retryable(),
            details: Some(with_last_error(json!({"attempts_count": failure.attempts_count}), failure.last_error.as_ref())),
        }
    }
}

impl From<&AttemptFailure> for ExecutionError {
    fn from(failure: &AttemptFailure) -> Self {
        Self {
            message: failure.message.clone(),
            code: failure.code.into(),
            category: failure.code.category().into(),
            retirable: failure.is_retryable,
            details: None,
        }
    }
}

/// What kind of thing stopped a run. The clients know more kinds; these are the ones this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonType {
    /// Its login could not be had.
    AuthSessionValidateDependencyFailed,
    /// The project was deployed with access over the API switched off.
    ApiAccessDisabled,
    /// Somebody canceled it.
    CancelledUserAction,
}

/// Why a run or an operation was canceled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExecutionReason {
    /// What kind of thing stopped it.
    #[serde(rename = "type")]
    pub kind: ReasonType,
    /// One sentence for a person.
    pub message: String,
    /// For a login that could not be had: its `cause`, and what `details` of an error hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub details: Option<Value>,
}

impl From<&RunReason> for ExecutionReason {
    fn from(reason: &RunReason) -> Self {
        match reason {
            RunReason::SessionDependency(dependency) => Self {
                kind: ReasonType::AuthSessionValidateDependencyFailed,
                message: dependency.message.clone(),
                details: Some(dependency_details(dependency)),
            },
            RunReason::UserAction => {
                Self { kind: ReasonType::CancelledUserAction, message: "canceled by a user".to_owned(), details: None }
            }
            RunReason::ApiAccessDisabled => Self {
                kind: ReasonType::ApiAccessDisabled,
                message: "the project was deployed with access over the API switched off".to_owned(),
                details: None,
            },
        }
    }
}

fn dependency_details(dependency: &Dependency) -> Value {
    let details = json!({"cause": dependency.cause.as_str(), "attempts_count": dependency.attempts_count});
    with_last_error(details, dependency.last_error.as_ref())
}

fn with_last_error(mut details: Value, last: Option<&AttemptFailure>) -> Value {
    if let Some(last) = last {
        details["last_error"] =
            json!({"code": last.code.as_str(), "category": last.code.category().as_str(), "message": last.message});
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_goes_out_under_its_own_name() {
        for code in AttemptCode::ALL {
            assert_eq!(serde_json::to_value(ExecutionCode::from(code)).unwrap(), code.as_str());
        }
        for code in RunCode::ALL {
            let sent = serde_json::to_value(ExecutionCode::from(code)).unwrap();
            match code {
                RunCode::AuthSessionNotFound | RunCode::AuthSessionLocked => assert_eq!(sent, "internal-server-error"),
                RunCode::ApiAttemptsFailed
                | RunCode::CreateAttemptsFailed
                | RunCode::PostCreateCheckAttemptsFailed
                | RunCode::CheckAttemptsFailed
                | RunCode::InternalServerError => assert_eq!(sent, code.as_str()),
            }
        }
    }

    #[test]
    fn a_failure_wraps_its_last_attempt() {
        let last = AttemptFailure {
            code: AttemptCode::ScriptTimeout,
            message: "its time was over".to_owned(),
            is_retryable: true,
            is_counted: true,
        };
        let failure = RunFailure {
            code: RunCode::CreateAttemptsFailed,
            message: "the login failed".to_owned(),
            attempts_count: 2,
            last_error: Some(last),
        };
        assert_eq!(
            serde_json::to_value(ExecutionError::from(&failure)).unwrap(),
            json!({"message": "the login failed", "code": "create-attempts-failed", "category": "auth", "retirable": false,
                   "details": {
                "attempts_count": 2,
                "last_error": {"code": "script-timeout", "category": "execution", "message": "its time was over"}}})
        );
    }

    #[test]
    fn a_run_whose_login_is_missing_names_the_cause() {
        let dependency =
            Dependency { cause: RunCode::AuthSessionNotFound, message: "gone".to_owned(), attempts_count: 0, last_error: None };
        assert_eq!(
            serde_json::to_value(ExecutionReason::from(&RunReason::SessionDependency(dependency))).unwrap(),
            json!({"type": "auth-session-validate-dependency-failed", "message": "gone",
                   "details": {"cause": "auth-session-not-found", "attempts_count": 0}})
        );
        assert_eq!(serde_json::to_value(ExecutionReason::from(&RunReason::UserAction)).unwrap()["type"], "cancelled-user-action");
    }
}
