//! What can go wrong between us and the database, in terms a caller can act on.

use std::sync::Arc;

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

impl StoreError {
    /// Whether the file of an embedded database cannot be written because its disk is read-only or answers with errors, which
    /// waiting rarely cures.
    #[must_use]
    pub fn is_disk_failure(&self) -> bool {
        let (Self::Unavailable(source) | Self::Unknown(source)) = self else { return false };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source.as_ref());
        while let Some(error) = cause {
            // The writer tells everybody in a batch of the one failure that they share.
            let shared = error.downcast_ref::<Arc<sqlx::Error>>().map(AsRef::as_ref);
            if let Some(error) = shared.or_else(|| error.downcast_ref::<sqlx::Error>()) {
                let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<sqlx::sqlite::SqliteError>());
                return error.is_some_and(crate::sqlite::halt::is_disk_failure);
            }
            cause = error.source();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection as _;

    #[tokio::test]
    async fn a_file_that_is_read_only_is_a_failure_of_the_disk_and_a_typing_error_is_not() {
        let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (x); PRAGMA query_only = ON").execute(&mut connection).await.unwrap();
        let read_only = sqlx::raw_sql("INSERT INTO t VALUES (1)").execute(&mut connection).await.unwrap_err();
        assert!(StoreError::Unavailable(Box::new(Arc::new(read_only))).is_disk_failure());
        let misspelt = sqlx::raw_sql("INSRT").execute(&mut connection).await.unwrap_err();
        assert!(!StoreError::Unavailable(Box::new(misspelt)).is_disk_failure());
        assert!(!StoreError::Unavailable("the writer has been stopped".into()).is_disk_failure());
    }
}
