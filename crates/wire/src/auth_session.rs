//! An AuthSession as the world sees it: never what is in it.

use keywright_domain::{AuthSessionId, SessionKind, SessionStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a session's input comes from. The clients also know `RECORDER`, which this server never sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuthSessionType {
    /// Stored parameters; it can be logged in again.
    Credentials,
    /// A run brought it along; it is not kept.
    Runtime,
}

impl From<SessionKind> for AuthSessionType {
    fn from(kind: SessionKind) -> Self {
        match kind {
            SessionKind::Credentials => Self::Credentials,
            SessionKind::Runtime => Self::Runtime,
        }
    }
}

/// Whether a session can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuthSessionStatus {
    /// A login is accepted or under way.
    Pending,
    /// Its login passed its last check.
    Ready,
    /// It has no login that holds.
    Expired,
}

impl From<SessionStatus> for AuthSessionStatus {
    fn from(status: SessionStatus) -> Self {
        match status {
            SessionStatus::Pending => Self::Pending,
            SessionStatus::Ready => Self::Ready,
            SessionStatus::Expired => Self::Expired,
        }
    }
}

/// A stored login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthSession {
    /// Its name.
    #[schema(min_length = 3)]
    pub id: String,
    /// Where its input comes from.
    #[serde(rename = "type")]
    pub kind: AuthSessionType,
    /// Whether it can be used.
    pub status: AuthSessionStatus,
}

impl AuthSession {
    /// A session as the world sees it.
    #[must_use]
    pub fn new(id: &AuthSessionId, kind: SessionKind, status: SessionStatus) -> Self {
        Self { id: id.to_string(), kind: kind.into(), status: status.into() }
    }
}
