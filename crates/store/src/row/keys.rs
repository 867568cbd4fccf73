//! A row of `api_keys`.

use keywright_domain::{KeyId, WorkspaceId};

use super::{Columns, Fields};
use crate::ApiKey;
use crate::halt::Halt;

/// Reads a key.
pub(crate) fn read_key(row: &dyn Columns) -> Result<ApiKey, Halt> {
    let fields = Fields::new(row, "api_keys", "id")?;
    Ok(ApiKey {
        id: fields.parse("id", KeyId::parse)?,
        workspace: fields.parse("workspace_id", WorkspaceId::parse)?,
        name: fields.text("name")?,
        created_at: fields.timestamp("created_at")?,
        revoked_at: fields.timestamp_optional("revoked_at")?,
    })
}
