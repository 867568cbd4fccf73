//! The history of a run: what happened to it, in order, as it was written down when it happened.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunEventKind {
    /// It was accepted.
    Accepted,
    /// A worker took it.
    Claimed,
    /// Its worker handed it back.
    Released,
    /// Its worker was lost or has ended, and it was freed.
    Rescued,
    /// An attempt was used up; `detail` is its stage.
    AttemptBegun,
    /// An attempt ended; `detail` is how: `succeeded`, `failed` or `aborted`.
    AttemptEnded,
    /// It reached another state; `detail` is the state, or `started/` and the stage.
    Moved,
}

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// When, by the database's clock.
    pub at: String,
    /// What.
    pub kind: RunEventKind,
    /// How often the run had changed hands, this event included.
    pub epoch: i64,
    /// The worker that held it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub worker_id: Option<String>,
    /// The attempt's number, for events of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attempt: Option<u32>,
    /// What the kind says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
}

/// The history of a run, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunEventList {
    /// The events.
    pub events: Vec<RunEvent>,
}
