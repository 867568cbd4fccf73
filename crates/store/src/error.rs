//! What can go wrong between us and the database, in terms a caller can act on.

use thiserror::Error;

/// A failure of the store. Nothing was changed, but for [`StoreError::Unknown`].
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database cannot take writes now: full, read-only, locked for too long, or gone. Trying later can help.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke while a commit was under way, and the database could not be asked in time what became of it. It
    /// may have happened or not: whoever gets this must neither say that it did nor that it did not.
    #[error("whether the database committed is not known")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database answered something that is our fault.
    #[error("the database refused a statement in {context}")]
    Driver {
        /// Which method.
        context: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row does not make sense.
    #[error("a row of {table} cannot be read: {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// Which column, and why.
        what: String,
    },
    /// A secret could not be sealed or opened.
    #[error("a stored secret cannot be used")]
    Vault(#[from] crate::VaultError),
}
