//! The length of the write-ahead log. SQLite starts it anew by itself whenever nobody reads from it; under a reader that
//! stays, or so many that there is always one, it grows.
//!
//! Nothing here can fail a write: a log that cannot be shortened now is tried again later, and said.

use std::path::{Path, PathBuf};

use sqlx::SqliteConnection;

use super::file::beside;

/// From this length on the log is shortened on purpose, bytes.
const LONG_BYTES: u64 = 64 * 1024 * 1024;

/// From this length on it is said that something keeps the log from being shortened, bytes.
const ALARMING_BYTES: u64 = 1024 * 1024 * 1024;

/// Transactions between two attempts to shorten it.
const PATIENCE: u32 = 64;

/// Watches the log of one database.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    pause: u32,
    has_alarmed: bool,
}

impl Wal {
    /// The log of the database at `path`.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: beside(path, "-wal"), pause: 0, has_alarmed: false }
    }

    /// Shortens the log if it has become long. To be called between two transactions.
    pub(super) async fn keep_short(&mut self, connection: &mut SqliteConnection) {
        let length_bytes = std::fs::metadata(&self.path).map_or(0, |found| found.len());
        if length_bytes < LONG_BYTES {
            *self = Self { path: std::mem::take(&mut self.path), pause: 0, has_alarmed: false };
            return;
        }
        if length_bytes >= ALARMING_BYTES && !self.has_alarmed {
            self.has_alarmed = true;
            tracing::warn!(
                bytes = length_bytes,
                "the write-ahead log grows: something has been reading from the database for long"
            );
        }
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        self.pause = PATIENCE;
        // Writers are not to wait for readers here, so it is only tried.
        for statement in ["PRAGMA busy_timeout = 0", "PRAGMA wal_checkpoint(TRUNCATE)", BUSY_TIMEOUT_AGAIN] {
            if let Err(error) = sqlx::query(statement).execute(&mut *connection).await {
                tracing::debug!(%error, statement, "the write-ahead log was not shortened");
            }
        }
    }
}

/// What every connection waits with, milliseconds; see [`super::open::BUSY_TIMEOUT`].
const BUSY_TIMEOUT_AGAIN: &str = "PRAGMA busy_timeout = 5000";
