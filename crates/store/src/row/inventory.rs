//! A row that names a blob, and the statements that list such rows, in the words that both databases understand.

use keywright_domain::{DeploymentId, WorkspaceId};

use super::{Columns, Fields};
use crate::halt::Halt;
use crate::{BlobKey, NamedBlob, NamedBy};

/// The rows of a kind behind the row `$1`, at most `$2`.
pub(crate) const fn list_named(by: NamedBy) -> &'static str {
    match by {
        NamedBy::Artifact => "SELECT workspace_id, blob AS named_by FROM artifacts WHERE blob > $1 ORDER BY blob LIMIT $2",
        NamedBy::Deployment => "SELECT workspace_id, id AS named_by FROM deployments WHERE id > $1 ORDER BY id LIMIT $2",
    }
}

/// Reads such a row.
pub(crate) fn read_named(by: NamedBy, row: &dyn Columns) -> Result<NamedBlob, Halt> {
    let table = match by {
        NamedBy::Artifact => "artifacts",
        NamedBy::Deployment => "deployments",
    };
    let fields = Fields::new(row, table, "named_by")?;
    Ok(NamedBlob {
        workspace: fields.parse("workspace_id", WorkspaceId::parse)?,
        key: match by {
            NamedBy::Artifact => fields.parse("named_by", BlobKey::parse)?,
            NamedBy::Deployment => BlobKey::archive(&fields.parse("named_by", DeploymentId::parse)?),
        },
        row: fields.text("named_by")?,
    })
}
