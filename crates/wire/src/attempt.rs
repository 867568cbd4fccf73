//! The attempts of a run: what each was for, how it ended, and whether it left a trace.

use keywright_domain::Stage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ExecutionError;

/// What an attempt was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptStage {
    /// `check` on the stored login.
    Check,
    /// `create`: a login.
    Create,
    /// `check` on the login just made.
    PostCheck,
    /// The API's own code.
    Api,
}

impl From<Stage> for AttemptStage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Check => Self::Check,
            Stage::Create => Self::Create,
            Stage::PostCheck => Self::PostCheck,
            Stage::Api => Self::Api,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttemptStatus {
    /// Not yet.
    Running,
    /// As it should.
    Succeeded,
    /// Not as it should; `error` says why.
    Failed,
    /// Its run was canceled.
    Aborted,
}

/// Where a trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TraceState {
    /// None was asked for, or none was made.
    None,
    /// Being cleaned of secrets.
    Pending,
    /// It can be downloaded.
    Stored,
    /// Not kept; `reason` says why.
    Dropped,
}

/// An attempt's trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// Where it is.
    pub status: TraceState,
    /// Why it was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// One try of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// 1-based, without gaps, over all stages.
    pub number: u32,
    /// The worker that made it.
    pub worker_id: String,
    /// What it was for.
    pub stage: AttemptStage,
    /// How it ended.
    pub status: AttemptStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<ExecutionError>,
    /// When user code was allowed to start.
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended_at: Option<String>,
    /// Whether its log can be read.
    pub has_log: bool,
    /// Its trace.
    pub trace: Trace,
}

/// The attempts of a run, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptList {
    /// The attempts.
    pub attempts: Vec<Attempt>,
}
