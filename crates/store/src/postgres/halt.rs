//! What PostgreSQL's error codes mean to us: whether trying later can help, whether trying again at once can, and whether a
//! failed COMMIT is known to have changed nothing.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::halt::Halt;

/// SQLSTATE codes and classes, named as far as we decide by them.
mod code {
    pub(super) const CONNECTION_CLASS: &str = "08";
    /// A prepared statement whose table looks different by now, because a newer version of this program has migrated it; and
    /// tables that cannot be used while a standby is one.
    pub(super) const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub(super) const READ_ONLY_TRANSACTION: &str = "25006";
    pub(super) const IDLE_IN_TRANSACTION_TIMEOUT: &str = "25P03";
    pub(super) const SERIALIZATION_FAILURE: &str = "40001";
    pub(super) const DEADLOCK_DETECTED: &str = "40P01";
    /// Disk full, out of memory, too many connections.
    pub(super) const RESOURCES_CLASS: &str = "53";
    pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
    /// A statement's time was up, the server shuts down, has crashed, or is still starting.
    pub(super) const INTERVENTION_CLASS: &str = "57";
    /// The server's disk or its operating system.
    pub(super) const SYSTEM_CLASS: &str = "58";
}

/// Whether PostgreSQL says "not now": the statement itself was in order.
pub(crate) fn is_unavailable(error: &PgDatabaseError) -> bool {
    let code = error.code();
    is_contention(error)
        || [code::CONNECTION_CLASS, code::RESOURCES_CLASS, code::INTERVENTION_CLASS, code::SYSTEM_CLASS]
            .iter()
            .any(|class| code.starts_with(class))
        || [code::FEATURE_NOT_SUPPORTED, code::READ_ONLY_TRANSACTION, code::IDLE_IN_TRANSACTION_TIMEOUT, code::LOCK_NOT_AVAILABLE]
            .contains(&code)
}

/// Whether two transactions were in each other's way, so that the same again may well succeed.
fn is_contention(error: &PgDatabaseError) -> bool {
    [code::SERIALIZATION_FAILURE, code::DEADLOCK_DETECTED].contains(&error.code())
}

fn database_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref())
}

/// Whether the work is worth being tried again at once, on another connection if this one was thrown away.
pub(super) fn is_worth_another_try(halt: &Halt) -> bool {
    match halt {
        Halt::Sql(error) => database_error(error).is_some_and(|error| is_contention(error) || is_out_of_date(error)),
        Halt::Store(_) | Halt::Misuse(_) => false,
    }
}

fn is_out_of_date(error: &PgDatabaseError) -> bool {
    error.code() == code::FEATURE_NOT_SUPPORTED
}

/// Whether the connection is of no use any more, because it is broken or because what was prepared on it is out of date.
pub(super) fn is_connection_useless(error: &sqlx::Error) -> bool {
    is_connection_lost(error) || database_error(error).is_some_and(is_out_of_date)
}

/// Whether the connection broke.
pub(super) fn is_connection_lost(error: &sqlx::Error) -> bool {
    match database_error(error) {
        // After anything worse than an error the server hangs up.
        Some(error) => error.severity() != PgSeverity::Error || error.code().starts_with(code::CONNECTION_CLASS),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed),
    }
}

/// The failure of something that took longer than we wait for it.
pub(super) fn timed_out(what: &'static str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what))
}
