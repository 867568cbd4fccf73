//! A row of `auth_sessions`: what the world may see of it, and its secrets for the engine.

use keywright_domain::{AuthSessionId, SessionKey, SessionKind, SessionStatus, WorkspaceId};

use super::{Columns, Fields};
use crate::halt::Halt;
use crate::sealed::Seal;
use crate::{AuthSession, SessionSecrets, Vault};

/// The place of a session's sealed columns.
pub(crate) fn session_seal<'a>(vault: &'a Vault, workspace: &'a WorkspaceId, key: &'a SessionKey) -> Seal<'a> {
    Seal { vault, workspace, table: "auth_sessions", row: key.as_str() }
}

/// Reads a session. The status to be shown is in a column `shown_status`.
pub(crate) fn read_session(row: &dyn Columns) -> Result<AuthSession, Halt> {
    let fields = Fields::new(row, "auth_sessions", "key")?;
    Ok(AuthSession {
        key: fields.parse("key", SessionKey::parse)?,
        id: fields.parse("id", AuthSessionId::parse)?,
        kind: fields.one_of("kind", SessionKind::from_stored)?,
        status: fields.one_of("shown_status", SessionStatus::from_stored)?,
        generation: fields.count("generation")?,
    })
}

/// Reads and opens a session's secrets.
pub(crate) fn read_secrets(row: &dyn Columns, vault: &Vault) -> Result<SessionSecrets, Halt> {
    let fields = Fields::new(row, "auth_sessions", "key")?;
    let workspace = fields.parse("workspace_id", WorkspaceId::parse)?;
    let key = fields.parse("key", SessionKey::parse)?;
    let seal = session_seal(vault, &workspace, &key);
    Ok(SessionSecrets {
        kind: fields.one_of("kind", SessionKind::from_stored)?,
        parameters: seal.read_json(&fields, "parameters_sealed")?,
        state: seal.read_json(&fields, "state_sealed")?,
        proxy: seal.read_proxy(&fields, "proxy_sealed")?,
    })
}
