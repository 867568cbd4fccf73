//! What stops a method half-way, and what the caller is told of it; the same for both databases.
//!
//! Statements fail deep inside a method; which method it was is added once, at its edge. Refuses to guess: only what the
//! database itself calls "not now" counts as "try later"; anything else is our fault and named so.

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::{StoreError, VaultError, postgres, sqlite};

/// A failure that does not know yet in which method it happened.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The database or its driver.
    Sql(sqlx::Error),
    /// Complete already.
    Store(StoreError),
    /// The caller asked for what cannot be; a bug of the caller.
    Misuse(&'static str),
}

impl Halt {
    /// The error for the caller of `context`.
    pub(crate) fn in_method(self, context: &'static str) -> StoreError {
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
pub(crate) trait InMethod<T> {
    /// The result as the caller of `context` sees it.
    fn in_method(self, context: &'static str) -> Result<T, StoreError>;
}

impl<T> InMethod<T> for Result<T, Halt> {
    fn in_method(self, context: &'static str) -> Result<T, StoreError> {
        self.map_err(|halt| halt.in_method(context))
    }
}

/// Whether trying the same later can help.
pub(crate) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        // Each backend knows its own codes.
        sqlx::Error::Database(database) => {
            database.try_downcast_ref::<SqliteError>().is_some_and(sqlite::halt::is_unavailable)
                || database.try_downcast_ref::<PgDatabaseError>().is_some_and(postgres::halt::is_unavailable)
        }
        _ => false,
    }
}
