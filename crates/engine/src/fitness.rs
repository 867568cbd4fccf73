//! Whether this machine can start attempts at all. When slots or browsers fail to start several times in a row, the fault is
//! the machine's: the worker stops taking runs, hands back those it has, and tries one again after pauses that grow.
//!
//! Kept in memory only: a new life of the process begins with trust. A run that cannot be started anywhere ends by its own
//! count of lost attempts.

use std::sync::Mutex;
use std::time::Duration;

/// Failures in a row that are taken for the machine's fault.
const MAX_FAILURES: u32 = 3;

/// After the second failure in a row, so that another machine can take the run meanwhile.
const SECOND_PAUSE: Duration = Duration::from_millis(250);

/// After the failure that makes the worker unfit; every further one doubles it.
const FIRST_LONG_PAUSE: Duration = Duration::from_secs(5);

/// A machine that was mended is noticed within this time. No longer, because it may be one project's slots that do not start,
/// and the others wait as well.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Known {
    failures: u32,
    resume_at: Duration,
}

/// What is known of the machine. Moments are those of [`keywright_store::Clock::uptime`].
#[derive(Debug, Default)]
pub(crate) struct Fitness(Mutex<Known>);

impl Fitness {
    /// An attempt was started.
    pub(crate) fn started(&self) {
        self.with(|known| {
            if known.failures >= MAX_FAILURES {
                tracing::info!("attempts can be started on this machine again");
            }
            *known = Known::default();
        });
    }

    /// An attempt could not be started at this moment.
    pub(crate) fn failed(&self, now: Duration) {
        self.with(|known| {
            known.failures = known.failures.saturating_add(1);
            let pause = pause_after(known.failures);
            known.resume_at = now + pause;
            if known.failures >= MAX_FAILURES {
                let (failures, pause_s) = (known.failures, pause.as_secs());
                tracing::error!(failures, pause_s, "attempts cannot be started on this machine; no runs are taken for a while");
            }
        });
    }

    /// How long no run is to be taken, and none kept.
    pub(crate) fn pause(&self, now: Duration) -> Option<Duration> {
        self.with(|known| known.resume_at.checked_sub(now)).filter(|pause| !pause.is_zero())
    }

    /// Whether the machine is not trusted: runs are taken one at a time, on trial.
    pub(crate) fn is_unfit(&self) -> bool {
        self.failures() >= MAX_FAILURES
    }

    /// Failures in a row so far.
    pub(crate) fn failures(&self) -> u32 {
        self.with(|known| known.failures)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().expect("no thread panics while it holds this lock"))
    }
}

fn pause_after(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        2 => SECOND_PAUSE,
        more => {
            let doublings = (more - MAX_FAILURES).min(16);
            (FIRST_LONG_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_failures_in_a_row_and_one_start_ends_them() {
        let (fitness, now) = (Fitness::default(), Duration::from_secs(100));
        let pauses: Vec<_> = (0..12)
            .map(|_| {
                fitness.failed(now);
                fitness.pause(now).unwrap_or_default()
            })
            .collect();
        assert_eq!(pauses[..4], [Duration::ZERO, SECOND_PAUSE, FIRST_LONG_PAUSE, FIRST_LONG_PAUSE * 2]);
        assert_eq!(pauses[11], LONGEST_PAUSE);
        assert!(fitness.is_unfit() && fitness.pause(now + LONGEST_PAUSE).is_none());
        fitness.started();
        assert!(!fitness.is_unfit() && fitness.pause(now).is_none());
    }
}
