//! What SQLite itself calls full, read-only, busy or out of reach; anything else is our fault.

use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

/// SQLite's primary result codes that say "not now": the statement itself was in order.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NO_MEMORY: i32 = 7;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const INTERRUPTED: i32 = 9;
    pub(super) const INPUT_OUTPUT: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

/// Whether trying the same later can help.
pub(crate) fn is_unavailable(error: &SqliteError) -> bool {
    matches!(
        primary_code(error),
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

/// Whether the disk is read-only or answers with errors.
pub(crate) fn is_disk_failure(error: &SqliteError) -> bool {
    matches!(primary_code(error), code::READ_ONLY | code::INPUT_OUTPUT)
}

/// Whether somebody else holds the lock.
pub(super) fn is_locked(error: &SqliteError) -> bool {
    matches!(primary_code(error), code::BUSY | code::LOCKED)
}

/// Whether what was written could not be flushed to the disk, so that nobody knows what is on it.
pub(super) fn is_failed_flush(error: &SqliteError) -> bool {
    /// `SQLITE_IOERR_FSYNC` and `SQLITE_IOERR_DIR_FSYNC`.
    const FLUSHES: [&str; 2] = ["1034", "1290"];
    error.code().is_some_and(|code| FLUSHES.contains(&code.as_ref()))
}

/// Whether there was no room.
pub(super) fn is_full(error: &SqliteError) -> bool {
    primary_code(error) == code::FULL
}

/// Whether the file's pages contradict each other, or are no database's at all.
pub(super) fn is_damage(error: &SqliteError) -> bool {
    matches!(primary_code(error), code::CORRUPT | code::NOT_A_DATABASE)
}

/// The low byte of SQLite's code; the rest says more about the same.
fn primary_code(error: &SqliteError) -> i32 {
    error.code().and_then(|text| text.parse::<i32>().ok()).unwrap_or_default() & 0xff
}
