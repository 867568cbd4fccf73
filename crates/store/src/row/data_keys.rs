//! A row of `data_keys`, and a value that such a key has sealed.

use keywright_domain::WorkspaceId;

use super::{Columns, Fields};
use crate::halt::Halt;
use crate::secrets::SealedRow;
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

/// Reads a data key with whether everything that an older one had sealed was sealed anew.
pub(crate) fn read_standing(row: &dyn Columns) -> Result<(WrappedKey, bool), Halt> {
    let fields = Fields::new(row, "data_keys", "workspace_id")?;
    Ok((read_data_key(row)?, fields.timestamp_optional("settled_at")?.is_some()))
}

/// Reads a sealed value where it lies.
pub(crate) fn read_sealed(table: &'static str, row: &dyn Columns) -> Result<SealedRow, Halt> {
    let fields = Fields::new(row, table, "sealed_row")?;
    Ok(SealedRow { row: fields.text("sealed_row")?, sealed: fields.bytes("sealed")? })
}
