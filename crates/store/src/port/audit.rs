//! The audit: whether what is stored keeps the promises. It reads, changes nothing, and can look at a live store.

use async_trait::async_trait;

use crate::StoreError;

/// A promise that does not hold somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's number and sentence, as `docs/RELIABILITY.md` has them.
    pub invariant: &'static str,
    /// The row that breaks it.
    pub row: String,
}

/// Looking for broken promises.
#[async_trait]
pub trait Audit {
    /// Everything that is broken, at most `limit` rows for each invariant, as of one moment.
    async fn audit(&self, limit: u32) -> Result<Vec<Violation>, StoreError>;
}
