//! What stops a method half-way, and what the caller is told of it.
//!
//! Statements fail deep inside a method; which method it was is added once, at its edge. Refuses to guess: only what SQLite
//! itself calls full, read-only, busy or out of reach counts as "try later"; anything else is our fault and named so.

use crate::{StoreError, VaultError};

/// SQLite's primary result codes that say "not now": the statement itself was in order.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NO_MEMORY: i32 = 7;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const INTERRUPTED: i32 = 9;
    pub(super) const INPUT_OUTPUT: i32 = 10;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
}

/// A failure that does not know yet in which method it happened.
#[derive(Debug)]
pub(super) enum Halt {
    /// The database or its driver.
    Sql(sqlx::Error),
    /// Complete already.
    Store(StoreError),
    /// The caller asked for what cannot be; a bug of the caller.
    Misuse(&'static str),
}

impl Halt {
    /// The error for the caller of `context`.
    pub(super) fn in_method(self, context: &'static str) -> StoreError {
        match self {
            Self::Sql(error) if is_unavailable(&error) => StoreError::Unavailable(Box::new(error)),
            Self::Sql(error) => StoreError::Driver { context, source: Box::new(error) },
            Self::Store(error) => error,
            Self::Misuse(what) => StoreError::Driver { context, source: what.into() },
        }
    }
}

impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<VaultError> for Halt {
    fn from(error: VaultError) -> Self {
        Self::Store(StoreError::Vault(error))
    }
}

/// Names the method at its edge.
pub(super) trait InMethod<T> {
    /// The result as the caller of `context` sees it.
    fn in_method(self, context: &'static str) -> Result<T, StoreError>;
}

impl<T> InMethod<T> for Result<T, Halt> {
    fn in_method(self, context: &'static str) -> Result<T, StoreError> {
        self.map_err(|halt| halt.in_method(context))
    }
}

/// Whether trying the same later can help.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => {
            let extended = database.code().and_then(|text| text.parse::<i32>().ok()).unwrap_or_default();
            // The low byte is the primary code; the rest says more about the same.
            matches!(
                extended & 0xff,
                code::BUSY
                    | code::LOCKED
                    | code::NO_MEMORY
                    | code::READ_ONLY
                    | code::INTERRUPTED
                    | code::INPUT_OUTPUT
                    | code::FULL
                    | code::CANNOT_OPEN
            )
        }
        _ => false,
    }
}
