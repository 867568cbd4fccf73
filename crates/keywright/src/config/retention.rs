//! How long history is kept. Nothing said means the domain's defaults; 0 means for ever, or without limit.

use keywright_domain::RetentionPolicy;

use super::{InvalidConfig, bad};

/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;

/// A hundred years: longer than that nobody asks for, and what "for ever" is in the database's arithmetic.
const MAX_DAYS: u64 = 36_500;

/// Bytes of a gibibyte.
const GIB: u64 = 1024 * 1024 * 1024;

/// An exbibyte, and what "without limit" is in the database's arithmetic.
const MAX_GIB: u64 = 1024 * 1024 * 1024;

/// The options as they are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RetentionWritten {
    pub(super) runs_days: Option<u64>,
    pub(super) logs_days: Option<u64>,
    pub(super) traces_days: Option<u64>,
    pub(super) files_days: Option<u64>,
    pub(super) gib_per_project: Option<u64>,
}

/// Reads them.
pub(super) fn policy(written: RetentionWritten) -> Result<RetentionPolicy, InvalidConfig> {
    let default = RetentionPolicy::default();
    Ok(RetentionPolicy {
        runs_s: seconds("keep-runs-days", written.runs_days, default.runs_s)?,
        logs_s: seconds("keep-logs-days", written.logs_days, default.logs_s)?,
        traces_s: seconds("keep-traces-days", written.traces_days, default.traces_s)?,
        files_s: seconds("keep-files-days", written.files_days, default.files_s)?,
        bytes_per_project: scaled("keep-gib-per-project", written.gib_per_project, MAX_GIB, GIB, default.bytes_per_project)?,
    })
}

fn seconds(option: &'static str, days: Option<u64>, default: u64) -> Result<u64, InvalidConfig> {
    scaled(option, days, MAX_DAYS, DAY_S, default)
}

fn scaled(option: &'static str, given: Option<u64>, max: u64, unit: u64, default: u64) -> Result<u64, InvalidConfig> {
    match given {
        None => Ok(default),
        Some(0) => Ok(max * unit),
        Some(number) if number <= max => Ok(number * unit),
        Some(_) => Err(bad(option, format!("must be at most {max}, or 0 for no limit"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_the_default_and_nought_is_for_ever() {
        assert_eq!(policy(RetentionWritten::default()).unwrap(), RetentionPolicy::default());
        let written = RetentionWritten {
            runs_days: Some(90),
            traces_days: Some(0),
            gib_per_project: Some(0),
            ..RetentionWritten::default()
        };
        let kept = policy(written).unwrap();
        assert_eq!((kept.runs_s, kept.traces_s), (90 * DAY_S, MAX_DAYS * DAY_S));
        assert_eq!(kept.logs_s, RetentionPolicy::default().logs_s);
        // In microseconds, and as a sum of bytes, both fit the database's integers.
        assert!(i64::try_from(kept.traces_s * 1_000_000).is_ok() && i64::try_from(kept.bytes_per_project).is_ok());
        assert!(policy(RetentionWritten { files_days: Some(MAX_DAYS + 1), ..written }).is_err());
    }
}
