//! What can go wrong between us and the database, in terms a caller can act on.

use thiserror::Error;

/// A failure of the store. Nothing was changed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database cannot take writes now: full, read-only, locked for too long, or gone. Trying later can help.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
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
