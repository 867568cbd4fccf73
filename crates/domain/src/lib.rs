//! The nouns of Keywright and the decisions about them: typed ids, names, limits, settings, and the life of a run as a
//! pure state machine.
//!
//! Refuses: time, randomness, environment, files, SQL, HTTP. Everything that varies comes in as an argument, so every
//! decision can be replayed. Nothing here can fail for a reason outside its arguments, and nothing is lost if the
//! process dies here.

mod attempt;
mod browser_state;
mod causes;
mod code;
mod deployment;
mod entry;
mod ids;
mod lease;
mod limits;
mod mask;
mod order;
mod proxy;
mod retention;
mod run;
mod secret;
mod session;
mod settings;
mod stored_file;
mod strict;
mod time;

pub use attempt::{AttemptEnd, AttemptFailure, AttemptNumber, ExtendedPayload, Stage};
pub use browser_state::state_strings;
pub use causes::with_causes;
pub use code::{AttemptCode, Category, RunCode};
pub use deployment::{DeploymentStatus, Language, Problem};
pub use entry::{ApiName, Entry, InvalidName, ProjectName};
pub use ids::{
    AttemptId, DeploymentId, FileId, InvalidId, KeyId, NodeId, OperationId, ProjectId, RunId, SessionKey, WorkerId, WorkspaceId,
};
pub use lease::{
    Beat, Epoch, InvalidLabel, InvalidTerms, LeaseTerms, MAX_LABELS, Standing, Tenure, Vigil, WorkerLabel, WorkerLabels,
};
pub use limits::{Attempts, Budgets, MAX_PROJECT_BYTES, MAX_PROJECT_ENTRIES, OutOfRange, TimeoutSeconds};
pub use mask::{MIN_SECRET_CHARS, secret_strings};
pub use order::{AttemptOrder, SessionBinding};
pub use proxy::{InvalidProxy, ProxyUrl};
pub use retention::RetentionPolicy;
pub use run::{
    Dependency, Effect, InvalidTransition, Progress, RunEvent, RunFailure, RunKind, RunPlan, RunReason, RunState,
    SessionStanding, Transition,
};
pub use secret::Secret;
pub use session::{AuthSessionId, SessionKind, SessionStatus};
pub use settings::{BrowserChoice, InvalidSettings, Isolation, ProxySetting, SETTINGS_FILES, Settings, Viewport};
pub use stored_file::StoredFileLink;
pub use strict::{MAX_JSON_DEPTH, MAX_JSON_NODES, StrictJsonError, parse_strict_json};
pub use time::Timestamp;
