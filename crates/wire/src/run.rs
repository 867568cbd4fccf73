//! Starting a run and reading it back: one flat object whose members depend on its status.

use keywright_domain::{RunId, RunState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::scalar::{object, object_or_null, present};
use crate::{ExecutionError, ExecutionReason, JsonObject, Sink, WholeNumber};

/// Starts one API.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStartRequest {
    /// The API: the path of its file below `api/`, without extension.
    pub api: String,
    /// What it is called with.
    #[schema(value_type = Object)]
    pub parameters: JsonObject,
    /// The proxy of this run; the AuthSession's own proxy goes before it.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Whether to keep traces of the attempts.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = true)]
    pub save_trace: Option<bool>,
    /// Seconds for one attempt, 1 to 21600.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 600, minimum = 1, maximum = 21600)]
    pub request_timeout: Option<WholeNumber>,
    /// How often to try.
    #[serde(default, deserialize_with = "object")]
    #[schema(nullable = false)]
    pub retry: Option<Retry>,
    /// The login it works with; required when the project has AuthSessions enabled.
    #[serde(default, deserialize_with = "object_or_null")]
    #[schema(nullable = false)]
    pub auth_session: Option<RunAuthSession>,
    /// Not served by this version: anything but `null` is refused.
    #[serde(default, deserialize_with = "object_or_null")]
    #[schema(nullable = false)]
    pub sink: Option<Sink>,
}

/// How often to try.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts in total, 1 to 100.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 3, minimum = 1, maximum = 100)]
    pub maximum_attempts: Option<WholeNumber>,
}

/// The login of a run: a stored one by its `id`, or one that is made from `runtimeInput`, whose presence decides.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunAuthSession {
    /// The AuthSession. Required without `runtimeInput`; with it, a name under which the login is kept for later runs.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// Input for a login of this run's own.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Object, required = false)]
    pub runtime_input: Option<JsonObject>,
    /// Whether a failed check may be answered by a new login. Always so with `runtimeInput`.
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
    /// The proxy of this run's login; goes before the run's own.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Seconds for one attempt of `check` or `create`, 1 to 21600.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i64, required = false, default = 600, minimum = 1, maximum = 21600)]
    pub request_timeout: Option<WholeNumber>,
    /// Whether to keep traces of `check` and `create`; as for the run when absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub save_trace: Option<bool>,
}

/// The only status of an accepted run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStartedStatus {
    /// Queued.
    Pending,
}

/// A run was accepted, durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStarted {
    /// The run.
    pub run_id: String,
    /// Always `pending`.
    pub status: RunStartedStatus,
}

impl From<&RunId> for RunStarted {
    fn from(run: &RunId) -> Self {
        Self { run_id: run.to_string(), status: RunStartedStatus::Pending }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Queued.
    Pending,
    /// Under way.
    Started,
    /// Ended with a result.
    Completed,
    /// Stopped; `reason` says why.
    Canceled,
    /// Ended without; `error` says why.
    Failed,
}

/// A call that user code asked for and that nobody made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExtendedPayload {
    /// The API.
    pub api: String,
    /// Its parameters; left out when user code gave something that is not an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    pub parameters: Option<Value>,
}

impl From<&keywright_domain::ExtendedPayload> for ExtendedPayload {
    fn from(payload: &keywright_domain::ExtendedPayload) -> Self {
        Self { api: payload.api.clone(), parameters: Some(payload.parameters.clone()).filter(Value::is_object) }
    }
}

/// A run as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// The run.
    pub run_id: String,
    /// Where it stands.
    pub status: RunStatus,
    /// What the API returned; present, if only as `null`, when it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What it asked to be run next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub extended_payloads: Vec<ExtendedPayload>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<ExecutionError>,
    /// The text of the error or of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// Why it was canceled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<ExecutionReason>,
}

impl RunResult {
    /// A run as it stands. `result` and `payloads` count only for one that completed.
    #[must_use]
    pub fn new(run: &RunId, state: &RunState, result: Option<Value>, payloads: &[keywright_domain::ExtendedPayload]) -> Self {
        let bare = |status| Self {
            run_id: run.to_string(),
            status,
            result: None,
            extended_payloads: Vec::new(),
            error: None,
            message: None,
            reason: None,
        };
        match state {
            RunState::Pending => bare(RunStatus::Pending),
            RunState::Started(_) => bare(RunStatus::Started),
            RunState::Completed => Self {
                result: Some(result.unwrap_or(Value::Null)),
                extended_payloads: payloads.iter().map(ExtendedPayload::from).collect(),
                ..bare(RunStatus::Completed)
            },
            RunState::Failed(failure) => {
                Self { error: Some(failure.into()), message: Some(failure.message.clone()), ..bare(RunStatus::Failed) }
            }
            RunState::Canceled(reason) => {
                let reason = ExecutionReason::from(reason);
                Self { message: Some(reason.message.clone()), reason: Some(reason), ..bare(RunStatus::Canceled) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn absent_members_are_left_out_and_a_null_result_is_not() {
        let run = RunId::from_entropy([0; 21]);
        let text = |state, result| serde_json::to_string(&RunResult::new(&run, &state, result, &[])).unwrap();
        assert_eq!(text(RunState::Pending, None), r#"{"runId":"_____________________","status":"pending"}"#);
        assert_eq!(text(RunState::Completed, None), r#"{"runId":"_____________________","status":"completed","result":null}"#);
    }

    #[test]
    fn a_list_of_members_is_no_object() {
        for (member, value) in [
            ("retry", json!([1])),
            ("authSession", json!(["a-session", {}, true, 3, 3, null, 600, true])),
            ("sink", json!(["webhook", "http://sink.example.test", {}, false, []])),
        ] {
            let mut body = json!({"api": "a", "parameters": {}});
            body[member] = value;
            let refused = from_value::<RunStartRequest>(body).err().expect(member).to_string();
            assert!(refused.contains("invalid type: sequence"), "{member}: {refused}");
        }
    }

    #[test]
    fn null_means_none_where_clients_send_it_and_is_refused_elsewhere() {
        let with = |member: &str, value: Value| {
            let mut body = json!({"api": "a", "parameters": {}, "unknown": 1});
            body[member] = value;
            from_value::<RunStartRequest>(body)
        };
        for member in ["proxy", "sink", "authSession"] {
            assert!(with(member, Value::Null).is_ok(), "{member}");
        }
        for member in ["saveTrace", "requestTimeout", "retry", "api", "parameters"] {
            assert!(with(member, Value::Null).is_err(), "{member}");
        }
        assert_eq!(with("requestTimeout", json!(30.0)).unwrap_or_else(|_| panic!("refused")).request_timeout.unwrap().get(), 30);
    }
}
