//! A row of `data_keys`.

use keywright_domain::WorkspaceId;

use super::{Columns, Fields};
use crate::halt::Halt;
use crate::{KeyVersion, WrappedKey};

/// Reads a data key, still wrapped.
pub(crate) fn read_data_key(row: &dyn Columns) -> Result<WrappedKey, Halt> {
    let fields = Fields::new(row, "data_keys", "workspace_id")?;
    let version = KeyVersion::new(fields.count("version")?);
    Ok(WrappedKey {
        workspace: fields.parse("workspace_id", WorkspaceId::parse)?,
        version: version.ok_or_else(|| fields.corrupt("version", "no key has the version 0"))?,
        wrapped: fields.bytes("wrapped")?,
    })
}
