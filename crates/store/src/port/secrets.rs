//! Everything sealed in rows: whether it opens, and sealing it anew after a rotation of keys.
//!
//! A rotation goes in steps, each of which is whole or not done: the new master key is in its file; every data key is wrapped
//! by it and every workspace has a new one, in one transaction; values are sealed anew in small batches; the rotation is
//! settled. Whatever is interrupted in between leaves everything readable and is seen in [`DataKeys`], so that whoever comes
//! next goes on from there.

use async_trait::async_trait;
use keywright_domain::WorkspaceId;

use crate::{KeyVersion, StoreError};

/// How the data keys of one workspace stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKeys {
    /// Whose.
    pub workspace: WorkspaceId,
    /// The one that seals.
    pub newest: KeyVersion,
    /// Whether the current master key wraps all of them.
    pub is_wrapped_by_current: bool,
    /// Whether everything that an older one had sealed in a row was sealed anew.
    pub is_settled: bool,
}

/// How far a walk over everything sealed has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedCursor {
    /// Which of the sealed columns.
    pub(crate) column: usize,
    /// The last row seen in it.
    pub(crate) after: String,
}

/// One step of a walk over everything sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    /// Where to go on; nothing at the end.
    pub next: Option<SealedCursor>,
    /// How many values were sealed anew or opened.
    pub values: u64,
    /// Where values lie that do not open, for people.
    pub damaged: Vec<String>,
}

/// Keys and what they seal.
#[async_trait]
pub trait Secrets {
    /// How the data keys of every workspace stand.
    async fn list_data_keys(&self) -> Result<Vec<DataKeys>, StoreError>;

    /// Wraps every data key with the current master key, and gives every workspace whose last rotation is settled a new one,
    /// in one transaction. The new ones seal from now on.
    async fn rotate_data_keys(&self) -> Result<(), StoreError>;

    /// Seals up to `limit` values of a workspace anew that an older key of it has sealed. A value that is changed meanwhile is
    /// left as it is then.
    async fn reseal(&self, workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> Result<SealedBatch, StoreError>;

    /// Says that a workspace has nothing left to be sealed anew.
    async fn settle_data_keys(&self, workspace: &WorkspaceId) -> Result<(), StoreError>;

    /// Opens up to `limit` values of a workspace, to see whether they do.
    async fn check_sealed(&self, workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> Result<SealedBatch, StoreError>;
}
