//! A row of `api_keys`.

use keywright_domain::{KeyId, WorkspaceId};

use super::{Columns, Fields};
use crate::halt::Halt;
use crate::{ApiKey, KeyVersion, Vault};

/// The key of hash `$1`, unless it was revoked, with the version of its workspace's newest data key.
pub(crate) const FIND_LIVE_KEY: &str =
    "SELECT k.*, (SELECT max(d.version) FROM data_keys d WHERE d.workspace_id = k.workspace_id) AS newest_data_key
     FROM api_keys k WHERE k.hash = $1 AND k.revoked_at IS NULL";

/// Reads such a key. Halts while the vault does not know that data key, so that what comes with a request is never sealed
/// with an older one.
pub(crate) fn read_live_key(row: &dyn Columns, vault: &Vault) -> Result<ApiKey, Halt> {
    let key = read_key(row)?;
    let fields = Fields::new(row, "api_keys", "id")?;
    let newest = KeyVersion::new(fields.count("newest_data_key")?);
    let newest = newest.ok_or_else(|| fields.corrupt("newest_data_key", "no key has the version 0"))?;
    vault.must_know(&key.workspace, newest)?;
    Ok(key)
}

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
