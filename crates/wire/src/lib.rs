//! What goes over the wire: the request and response types of the public API, in the casing and with the omissions that the
//! published clients insist on.
//!
//! Every enum is closed. An absent member is left out, never `null`, unless its type says otherwise; members nobody knows are
//! ignored. Requests carry what the caller wrote, unchecked beyond its JSON type: ranges and names are checked where a
//! request becomes the domain's own types. Refuses: behaviour, storage, HTTP. Request types that hold secrets have no `Debug`.
//! Nothing is kept here, so nothing is lost if the process dies.

mod attempt;
mod auth_session;
mod deployment;
mod error;
mod health;
mod key;
mod operation;
mod outcome;
mod project;
mod run;
mod run_event;
mod scalar;
mod sink;

pub use attempt::{Attempt, AttemptList, AttemptStage, AttemptStatus, Trace, TraceState};
pub use auth_session::{AuthSession, AuthSessionStatus, AuthSessionType};
pub use deployment::{Deployment, DeploymentList, DeploymentProblem, DeploymentState, ProjectLanguage};
pub use error::{ErrorBody, ErrorCategory, ErrorCode};
pub use health::{Health, HealthStatus};
pub use key::{ApiKey, ApiKeyList, CreatedKey, NewKeyRequest};
pub use operation::{
    AuthSessionCreateRequest, AuthSessionUpdateRequest, AuthSessionValidateRequest, Operation, OperationKind, OperationResult,
    OperationStarted, OperationStatus, StartedStatus, ValidateStarted, ValidateStartedStatus,
};
pub use outcome::{ExecutionCategory, ExecutionCode, ExecutionError, ExecutionReason, ReasonType};
pub use project::{Project, ProjectList};
pub use run::{ExtendedPayload, Retry, RunAuthSession, RunResult, RunStartRequest, RunStarted, RunStartedStatus, RunStatus};
pub use run_event::{RunEvent, RunEventKind, RunEventList};
pub use scalar::{JsonObject, WholeNumber, rfc3339};
pub use sink::{S3Sink, Sink, WebhookSink};
