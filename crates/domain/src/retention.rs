//! How long things are kept.
//!
//! Pure: ages and sizes, and no decision about what they mean for a row.

/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;

/// What is kept for how long after it was made, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// A run that has ended, with its result, its attempts, its operation and its idempotency key; seconds.
    pub runs_s: u64,
    /// Logs of attempts; seconds.
    pub logs_s: u64,
    /// Traces of attempts; seconds.
    pub traces_s: u64,
    /// Files that user code stored; seconds.
    pub files_s: u64,
    /// Logs, traces and files of one project together; the oldest go first when there are more.
    pub bytes_per_project: u64,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            runs_s: 30 * DAY_S,
            logs_s: 30 * DAY_S,
            traces_s: 7 * DAY_S,
            files_s: 30 * DAY_S,
            bytes_per_project: 10 * 1024 * 1024 * 1024,
        }
    }
}
