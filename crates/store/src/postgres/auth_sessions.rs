//! AuthSessions as rows. They are made and changed by the transactions of their runs, in [`super::runs`]; here they are read
//! and deleted.
//!
//! The status shown is derived: PENDING while a login is accepted or under way, and what is stored otherwise.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{ProjectId, SessionKey};

use super::PostgresStore;
use super::link::Link;
use super::locks::lock_line;
use super::pools::Lane;
use super::transaction::Tx;
use crate::halt::Halt;
use crate::row::Fields;
use crate::row::auth_sessions::{read_secrets, read_session};
use crate::{AuthSession, AuthSessions, SessionSecrets, StoreError, Vault};

/// Every column of an [`AuthSession`]; conditions follow. A create or update counts from its acceptance, another run's login
/// from its beginning.
macro_rules! select_sessions {
    ($conditions:literal) => {
        concat!(
            "SELECT s.key, s.id, s.kind, s.generation,
                    CASE WHEN EXISTS (
                        SELECT 1 FROM runs r WHERE r.session_key = s.key AND r.ended_at IS NULL AND r.holds_session
                        AND (r.kind IN ('create', 'update') OR r.stage IN ('create', 'post-check'))
                    ) THEN 'pending' ELSE s.status END AS shown_status
             FROM auth_sessions s ",
            $conditions
        )
    };
}

#[async_trait]
impl AuthSessions for PostgresStore {
    async fn list_auth_sessions(&self, project: &ProjectId) -> Result<Vec<AuthSession>, StoreError> {
        self.read(Lane::Api, "list_auth_sessions", project.clone(), |link, project| list(link, project).boxed()).await
    }

    async fn find_auth_session(&self, project: &ProjectId, id: &str) -> Result<Option<AuthSession>, StoreError> {
        let input = (project.clone(), id.to_owned());
        self.read(Lane::Api, "find_auth_session", input, |link, (project, id)| find(link, project, id).boxed()).await
    }

    async fn delete_auth_session(&self, project: &ProjectId, id: &str) -> Result<bool, StoreError> {
        let input = (project.clone(), id.to_owned());
        self.write(Lane::Api, "delete_auth_session", input, |tx, (project, id)| delete(tx, project, id).boxed()).await
    }

    async fn session_secrets(&self, key: &SessionKey) -> Result<Option<SessionSecrets>, StoreError> {
        let input = (self.desk.vault.clone(), key.clone());
        self.read(Lane::Engine, "session_secrets", input, |link, (vault, key)| secrets(link, vault, key).boxed()).await
    }
}

async fn list(link: &mut Link, project: &ProjectId) -> Result<Vec<AuthSession>, Halt> {
    let statement = sqlx::query(select_sessions!("WHERE s.project_id = $1 ORDER BY s.id")).bind(project.as_str());
    link.read_all(statement).await?.iter().map(|row| read_session(row)).collect()
}

async fn find(link: &mut Link, project: &ProjectId, id: &str) -> Result<Option<AuthSession>, Halt> {
    let statement =
        sqlx::query(select_sessions!("WHERE s.project_id = $1 AND s.id = $2")).bind(project.as_str()).bind(id.to_owned());
    link.read_optional(statement).await?.as_ref().map(|row| read_session(row)).transpose()
}

/// Whoever accepts work for the session does so before, and then it is shredded here, or after, and then there is no session.
async fn delete(tx: &mut Tx, project: &ProjectId, id: &str) -> Result<bool, Halt> {
    let statement =
        sqlx::query("SELECT key FROM auth_sessions WHERE project_id = $1 AND id = $2").bind(project.as_str()).bind(id.to_owned());
    let Some(row) = tx.read_optional(statement).await? else { return Ok(false) };
    let key = Fields::new(&row, "auth_sessions", "key")?.parse("key", SessionKey::parse)?;
    lock_line(tx, &key).await?;
    let is_deleted = tx.change(sqlx::query("DELETE FROM auth_sessions WHERE key = $1").bind(key.as_str())).await? == 1;
    shred_accepted(tx, &key).await?;
    Ok(is_deleted)
}

/// Shreds what accepted work brought along or has captured for a session that is gone: it is as secret as what the session
/// held. The work itself ends canceled when it comes to its turn; a run that is past its login goes on with its copy, by its
/// own proxy. The line is locked.
pub(super) async fn shred_accepted(tx: &mut Tx, key: &SessionKey) -> Result<(), Halt> {
    let statement = sqlx::query(
        "UPDATE runs SET input_sealed = NULL, candidate_sealed = NULL,
                         proxy_sealed = CASE WHEN kind IN ('create', 'update') THEN NULL ELSE proxy_sealed END
         WHERE session_key = $1 AND ended_at IS NULL
         AND (input_sealed IS NOT NULL OR candidate_sealed IS NOT NULL OR proxy_sealed IS NOT NULL)",
    )
    .bind(key.as_str());
    tx.change(statement).await?;
    Ok(())
}

async fn secrets(link: &mut Link, vault: &Vault, key: &SessionKey) -> Result<Option<SessionSecrets>, Halt> {
    let statement = sqlx::query(
        "SELECT key, workspace_id, kind, parameters_sealed, state_sealed, proxy_sealed FROM auth_sessions WHERE key = $1",
    )
    .bind(key.as_str());
    link.read_optional(statement).await?.as_ref().map(|row| read_secrets(row, vault)).transpose()
}
