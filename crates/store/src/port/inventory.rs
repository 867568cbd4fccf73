//! Which blobs the rows name, so that a backup can take them along and an audit can look for them.

use async_trait::async_trait;
use keywright_domain::WorkspaceId;

use crate::{BlobKey, StoreError};

/// What names a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// A log, trace or file.
    Artifact,
    /// A deployment, whose archive it is.
    Deployment,
}

impl NamedBy {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Artifact, Self::Deployment];
}

/// A blob that a row names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBlob {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which.
    pub key: BlobKey,
    /// The row; a list goes on behind it.
    pub row: String,
}

/// Listing what is stored elsewhere.
#[async_trait]
pub trait Inventory {
    /// Blobs that rows of a kind name, in the order of the rows, beginning behind the row `after`, at most `limit`.
    async fn list_named_blobs(&self, by: NamedBy, after: &str, limit: u32) -> Result<Vec<NamedBlob>, StoreError>;
}
