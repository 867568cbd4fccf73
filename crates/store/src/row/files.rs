//! A row of `files`.

use keywright_domain::{FileId, ProjectId, WorkspaceId};

use super::{Columns, Fields};
use crate::halt::Halt;
use crate::{BlobKey, StoredFile};

/// Reads a file.
pub(crate) fn read_file(row: &dyn Columns) -> Result<StoredFile, Halt> {
    let fields = Fields::new(row, "files", "id")?;
    Ok(StoredFile {
        id: fields.parse("id", FileId::parse)?,
        workspace: fields.parse("workspace_id", WorkspaceId::parse)?,
        project: fields.parse("project_id", ProjectId::parse)?,
        name: fields.text("name")?,
        content_type: fields.text_optional("content_type")?,
        size_bytes: fields.count("size_bytes")?,
        blob: fields.parse("blob", BlobKey::parse)?,
        created_at: fields.timestamp("created_at")?,
    })
}
