//! AuthSessions as rows. They are made and changed by the transactions of their runs, in [`super::runs`]; here they are read
//! and deleted.
//!
//! The status shown is derived: PENDING while a login is accepted or under way, and what is stored otherwise.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{ProjectId, SessionKey};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use crate::halt::{Halt, InMethod as _};
use crate::row::auth_sessions::{read_secrets, read_session};
use crate::{AuthSession, AuthSessions, SessionSecrets, StoreError, Vault};

/// Every column of an [`AuthSession`]; conditions follow. A create or update counts from its acceptance, another run's login
/// from its beginning.
macro_rules! select_sessions {
    ($conditions:literal) => {
        concat!(
            "SELECT s.key, s.id, s.kind, s.generation,
                    CASE WHEN EXISTS (
                        SELECT 1 FROM runs r WHERE r.session_key = s.key AND r.ended_at IS NULL AND r.holds_session = 1
                        AND (r.kind IN ('create', 'update') OR r.stage IN ('create', 'post-check'))
                    ) THEN 'pending' ELSE s.status END AS shown_status
             FROM auth_sessions s ",
            $conditions
        )
    };
}

#[async_trait]
impl AuthSessions for SqliteStore {
    async fn list_auth_sessions(&self, project: &ProjectId) -> Result<Vec<AuthSession>, StoreError> {
        list(&self.readers, project).await.in_method("list_auth_sessions")
    }

    async fn find_auth_session(&self, project: &ProjectId, id: &str) -> Result<Option<AuthSession>, StoreError> {
        find(&self.readers, project, id).await.in_method("find_auth_session")
    }

    async fn delete_auth_session(&self, project: &ProjectId, id: &str) -> Result<bool, StoreError> {
        let (project, id) = (project.clone(), id.to_owned());
        self.write("delete_auth_session", move |tx, _| delete(tx, project, id).boxed()).await
    }

    async fn session_secrets(&self, key: &SessionKey) -> Result<Option<SessionSecrets>, StoreError> {
        self.open_sealed("session_secrets", || secrets(&self.readers, &self.vault, key)).await
    }
}

async fn list(readers: &SqlitePool, project: &ProjectId) -> Result<Vec<AuthSession>, Halt> {
    let rows =
        sqlx::query(select_sessions!("WHERE s.project_id = $1 ORDER BY s.id")).bind(project.as_str()).fetch_all(readers).await?;
    rows.iter().map(|row| read_session(row)).collect()
}

async fn find(readers: &SqlitePool, project: &ProjectId, id: &str) -> Result<Option<AuthSession>, Halt> {
    let row = sqlx::query(select_sessions!("WHERE s.project_id = $1 AND s.id = $2"))
        .bind(project.as_str())
        .bind(id)
        .fetch_optional(readers)
        .await?;
    row.as_ref().map(|row| read_session(row)).transpose()
}

async fn delete(tx: &mut SqliteConnection, project: ProjectId, id: String) -> Result<bool, Halt> {
    let key: Option<String> = sqlx::query_scalar("DELETE FROM auth_sessions WHERE project_id = $1 AND id = $2 RETURNING key")
        .bind(project.as_str())
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(key) = key else { return Ok(false) };
    shred_accepted(tx, &key).await?;
    Ok(true)
}

/// Shreds what accepted work brought along or has captured for a session that is gone: it is as secret as what the session
/// held. The work itself ends canceled when it comes to its turn; a run that is past its login goes on with its copy, by its
/// own proxy.
pub(super) async fn shred_accepted(tx: &mut SqliteConnection, key: &str) -> Result<(), Halt> {
    sqlx::query(
        "UPDATE runs SET input_sealed = NULL, candidate_sealed = NULL,
                         proxy_sealed = CASE WHEN kind IN ('create', 'update') THEN NULL ELSE proxy_sealed END
         WHERE session_key = $1 AND ended_at IS NULL",
    )
    .bind(key)
    .execute(tx)
    .await?;
    Ok(())
}

async fn secrets(readers: &SqlitePool, vault: &Vault, key: &SessionKey) -> Result<Option<SessionSecrets>, Halt> {
    let row = sqlx::query(
        "SELECT key, workspace_id, kind, parameters_sealed, state_sealed, proxy_sealed FROM auth_sessions WHERE key = $1",
    )
    .bind(key.as_str())
    .fetch_optional(readers)
    .await?;
    row.as_ref().map(|row| read_secrets(row, vault)).transpose()
}
