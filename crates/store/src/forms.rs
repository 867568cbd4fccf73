//! The stored JSON forms of domain values that have more than one column's worth of structure.
//!
//! The domain's own types carry no serialisation, so that renaming a member there cannot change what is on disk. A form is
//! only ever added to: whatever was written once must stay readable.

use keywright_domain::{
    ApiName, AttemptCode, AttemptFailure, Dependency, ExtendedPayload, Language, Problem, RunCode, RunFailure, RunReason,
    RunState,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::BuiltDeployment;

/// How an attempt failed.
#[derive(Serialize, Deserialize)]
pub(crate) struct FailureForm {
    code: String,
    message: String,
    retryable: bool,
    counted: bool,
}

impl From<&AttemptFailure> for FailureForm {
    fn from(failure: &AttemptFailure) -> Self {
        Self {
            code: failure.code.as_str().to_owned(),
            message: failure.message.clone(),
            retryable: failure.is_retryable,
            counted: failure.is_counted,
        }
    }
}

impl TryFrom<FailureForm> for AttemptFailure {
    type Error = String;

    fn try_from(form: FailureForm) -> Result<Self, String> {
        let code = AttemptCode::from_stored(&form.code).ok_or_else(|| format!("no attempt ends with {}", form.code))?;
        Ok(Self { code, message: form.message, is_retryable: form.retryable, is_counted: form.counted })
    }
}

/// A run's failure, or the failure of the login that it depended on.
#[derive(Serialize, Deserialize)]
struct WrapperForm {
    code: String,
    message: String,
    attempts: u32,
    last: Option<FailureForm>,
}

impl WrapperForm {
    fn code(&self) -> Result<RunCode, String> {
        RunCode::from_stored(&self.code).ok_or_else(|| format!("no run ends with {}", self.code))
    }

    fn last(form: Option<FailureForm>) -> Result<Option<AttemptFailure>, String> {
        form.map(AttemptFailure::try_from).transpose()
    }
}

/// Why a run ended without having completed.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum OutcomeForm {
    Failure(WrapperForm),
    SessionDependency(WrapperForm),
    UserAction,
    ApiAccessDisabled,
}

/// The stored outcome of a state; none unless it failed or was canceled.
pub(crate) fn outcome_json(state: &RunState) -> Option<String> {
    let form = match state {
        RunState::Pending | RunState::Started(_) | RunState::Completed => return None,
        RunState::Failed(failure) => OutcomeForm::Failure(WrapperForm {
            code: failure.code.as_str().to_owned(),
            message: failure.message.clone(),
            attempts: failure.attempts_count,
            last: failure.last_error.as_ref().map(FailureForm::from),
        }),
        RunState::Canceled(RunReason::SessionDependency(dependency)) => OutcomeForm::SessionDependency(WrapperForm {
            code: dependency.cause.as_str().to_owned(),
            message: dependency.message.clone(),
            attempts: dependency.attempts_count,
            last: dependency.last_error.as_ref().map(FailureForm::from),
        }),
        RunState::Canceled(RunReason::UserAction) => OutcomeForm::UserAction,
        RunState::Canceled(RunReason::ApiAccessDisabled) => OutcomeForm::ApiAccessDisabled,
    };
    Some(to_json(&form))
}

/// Reads the stored outcome of a run that failed.
pub(crate) fn read_failure(json: &str) -> Result<RunFailure, String> {
    match read_outcome(json)? {
        OutcomeForm::Failure(form) => Ok(RunFailure {
            code: form.code()?,
            message: form.message,
            attempts_count: form.attempts,
            last_error: WrapperForm::last(form.last)?,
        }),
        OutcomeForm::SessionDependency(_) | OutcomeForm::UserAction | OutcomeForm::ApiAccessDisabled => {
            Err("the reason of a cancellation on a run that failed".to_owned())
        }
    }
}

/// Reads the stored outcome of a run that was canceled.
pub(crate) fn read_reason(json: &str) -> Result<RunReason, String> {
    match read_outcome(json)? {
        OutcomeForm::SessionDependency(form) => Ok(RunReason::SessionDependency(Dependency {
            cause: form.code()?,
            message: form.message,
            attempts_count: form.attempts,
            last_error: WrapperForm::last(form.last)?,
        })),
        OutcomeForm::UserAction => Ok(RunReason::UserAction),
        OutcomeForm::ApiAccessDisabled => Ok(RunReason::ApiAccessDisabled),
        OutcomeForm::Failure(_) => Err("a failure on a run that was canceled".to_owned()),
    }
}

fn read_outcome(json: &str) -> Result<OutcomeForm, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// The stored form of an attempt's failure.
pub(crate) fn failure_json(failure: &AttemptFailure) -> String {
    to_json(&FailureForm::from(failure))
}

/// What a completed run of an API left.
#[derive(Serialize, Deserialize)]
pub(crate) struct ResultForm {
    pub(crate) result: Value,
    pub(crate) payloads: Vec<PayloadForm>,
}

/// A call that user code asked for.
#[derive(Serialize, Deserialize)]
pub(crate) struct PayloadForm {
    api: String,
    parameters: Value,
}

impl From<ExtendedPayload> for PayloadForm {
    fn from(payload: ExtendedPayload) -> Self {
        Self { api: payload.api, parameters: payload.parameters }
    }
}

impl From<PayloadForm> for ExtendedPayload {
    fn from(form: PayloadForm) -> Self {
        Self { api: form.api, parameters: form.parameters }
    }
}

/// What a build found out.
#[derive(Serialize, Deserialize)]
pub(crate) struct BuiltForm {
    language: String,
    settings_file: String,
    settings_text: String,
    apis: Vec<String>,
    python: Option<String>,
    playwright_root: Option<String>,
    warnings: Vec<Problem>,
}

impl From<&BuiltDeployment> for BuiltForm {
    fn from(built: &BuiltDeployment) -> Self {
        Self {
            language: built.language.as_str().to_owned(),
            settings_file: built.settings_file.clone(),
            settings_text: built.settings_text.clone(),
            apis: built.apis.iter().map(ToString::to_string).collect(),
            python: built.python.clone(),
            playwright_root: built.playwright_root.clone(),
            warnings: built.warnings.clone(),
        }
    }
}

impl TryFrom<BuiltForm> for BuiltDeployment {
    type Error = String;

    fn try_from(form: BuiltForm) -> Result<Self, String> {
        let language = Language::from_stored(&form.language).ok_or_else(|| format!("{} is no language", form.language))?;
        let apis = form.apis.iter().map(|name| ApiName::parse(name)).collect::<Result<_, _>>();
        Ok(Self {
            language,
            settings_file: form.settings_file,
            settings_text: form.settings_text,
            apis: apis.map_err(|error| format!("the name of an API {error}"))?,
            python: form.python,
            playwright_root: form.playwright_root,
            warnings: form.warnings,
        })
    }
}

/// The text of a form.
pub(crate) fn to_json<T: Serialize>(form: &T) -> String {
    serde_json::to_string(form).expect("these forms have text keys only and no serialiser of their own")
}
