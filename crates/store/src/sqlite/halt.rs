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
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
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

/// The low byte of SQLite's code; the rest says more about the same.
fn primary_code(error: &SqliteError) -> i32 {
    error.code().and_then(|text| text.parse::<i32>().ok()).unwrap_or_default() & 0xff
}
