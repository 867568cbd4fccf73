//! AuthSessions as rows: identity, status, and sealed secrets that leave the store only for the engine.

use async_trait::async_trait;
use keywright_domain::{AuthSessionId, ProjectId, ProxyUrl, Secret, SessionKey, SessionKind, SessionStatus};
use serde_json::Value;

use crate::StoreError;

/// What the world may see of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSession {
    /// Its inner identity.
    pub key: SessionKey,
    /// Its name.
    pub id: AuthSessionId,
    /// Where its input comes from.
    pub kind: SessionKind,
    /// The status to be shown: PENDING while a login is accepted or under way.
    pub status: SessionStatus,
    /// How many states it has had; 0 before the first.
    pub generation: u64,
}

/// What an attempt needs of a session.
#[derive(Clone, Debug)]
pub struct SessionSecrets {
    /// Where its input comes from.
    pub kind: SessionKind,
    /// What it was made from; absent for RUNTIME sessions and before the first login succeeded.
    pub parameters: Option<Secret<Value>>,
    /// Its browser state; absent before the first login succeeded.
    pub state: Option<Secret<Value>>,
    /// Its own proxy.
    pub proxy: Option<ProxyUrl>,
}

/// Reading and deleting sessions. They are made and changed by runs only (see [`crate::Runs`]).
#[async_trait]
pub trait AuthSessions {
    /// All sessions of a project, by name.
    async fn list_auth_sessions(&self, project: &ProjectId) -> Result<Vec<AuthSession>, StoreError>;

    /// The session of this name.
    async fn find_auth_session(&self, project: &ProjectId, id: &str) -> Result<Option<AuthSession>, StoreError>;

    /// Deletes a session with everything secret about it. Returns whether there was one. Accepted work that needs it ends
    /// canceled when it comes to it.
    async fn delete_auth_session(&self, project: &ProjectId, id: &str) -> Result<bool, StoreError>;

    /// The secrets of a session, for the engine. Nothing if it was deleted.
    async fn session_secrets(&self, key: &SessionKey) -> Result<Option<SessionSecrets>, StoreError>;
}
