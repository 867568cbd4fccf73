//! Numbers a caller may choose, with the range each of them has, and the limits of a project, which whoever packs one and
//! whoever unpacks it must agree on.
//!
//! A value of these types is in range; nobody checks again.

use thiserror::Error;

/// Most files and folders in the archive of a project.
pub const MAX_PROJECT_ENTRIES: usize = 10_000;

/// Most bytes of all files of a project together.
pub const MAX_PROJECT_BYTES: u64 = 200 * 1024 * 1024;

/// A number outside its range.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("must be a whole number from {min} to {max}")]
pub struct OutOfRange {
    /// Smallest accepted value.
    pub min: i64,
    /// Largest accepted value.
    pub max: i64,
}

/// How often something may be tried in total, the first time included: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempts(u32);

impl Attempts {
    const MAX: u32 = 100;

    /// What clients send when nobody asked: three.
    pub const DEFAULT: Self = Self(3);

    /// Reads a caller's number.
    ///
    /// # Errors
    /// Outside 1 to 100.
    pub fn new(value: i64) -> Result<Self, OutOfRange> {
        u32::try_from(value)
            .ok()
            .filter(|count| (1..=Self::MAX).contains(count))
            .map(Self)
            .ok_or(OutOfRange { min: 1, max: i64::from(Self::MAX) })
    }

    /// The count.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// How long one attempt may take before it must ask for more: 1 s to 6 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeoutSeconds(u32);

impl TimeoutSeconds {
    /// Six hours, also the hard end of an attempt that keeps extending itself.
    pub const MAX: Self = Self(21_600);

    /// Ten minutes, the documented default.
    pub const DEFAULT: Self = Self(600);

    /// Reads a caller's number of seconds.
    ///
    /// # Errors
    /// Outside 1 to 21600.
    pub fn new(value: i64) -> Result<Self, OutOfRange> {
        u32::try_from(value)
            .ok()
            .filter(|seconds| (1..=Self::MAX.0).contains(seconds))
            .map(Self)
            .ok_or(OutOfRange { min: 1, max: i64::from(Self::MAX.0) })
    }

    /// Reads a number that may be over the cap and then means the cap: the create request's undeclared member, which the
    /// platform's own example fills with milliseconds.
    ///
    /// # Errors
    /// Below 1.
    pub fn capped(value: i64) -> Result<Self, OutOfRange> {
        Self::new(value.min(i64::from(Self::MAX.0)))
    }

    /// Seconds.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// How often each stage of a run may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Logins.
    pub create: Attempts,
    /// Checks, before a login and again after it.
    pub check: Attempts,
    /// Starts of the API's own code.
    pub api: Attempts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_at_their_edges() {
        for (value, ok) in [(0, false), (1, true), (100, true), (101, false), (-1, false), (1_000_000_000, false)] {
            assert_eq!(Attempts::new(value).is_ok(), ok, "{value}");
        }
        for (value, ok) in [(0, false), (1, true), (21_600, true), (21_601, false), (1_000_000_000, false)] {
            assert_eq!(TimeoutSeconds::new(value).is_ok(), ok, "{value}");
        }
        assert_eq!(TimeoutSeconds::capped(60_000), Ok(TimeoutSeconds::MAX));
    }
}
