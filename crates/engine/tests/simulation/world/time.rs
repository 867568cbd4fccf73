//! Virtual time: the database's clock, which is right by definition, and the clocks of nodes, which are not.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keywright_domain::Timestamp;
use keywright_store::Clock;
use tokio::time::Instant;

/// When every world begins.
const BEGINNING_US: i64 = 1_800_000_000_000_000;

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("no world lasts for three hundred thousand years")
}

/// The database's clock. The store reads it on threads that know nothing of the world's time, so it is set before each call.
#[derive(Debug, Default)]
pub(crate) struct DatabaseClock(AtomicI64);

impl DatabaseClock {
    pub(crate) fn set(&self, since_beginning: Duration) {
        self.0.store(micros(since_beginning), Ordering::Release);
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(BEGINNING_US + self.0.load(Ordering::Acquire))
    }

    fn uptime(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Acquire).unsigned_abs())
    }
}

/// The clock of a node: wrong by up to hours, and it jumps; only the time since it was started is right.
#[derive(Debug)]
pub(crate) struct NodeClock {
    beginning: Instant,
    booted_at: Instant,
    skew_us: AtomicI64,
}

impl NodeClock {
    pub(crate) fn new(beginning: Instant, skew_us: i64) -> Self {
        Self { beginning, booted_at: Instant::now(), skew_us: AtomicI64::new(skew_us) }
    }

    /// Somebody sets the clock.
    pub(crate) fn jump(&self, skew_us: i64) {
        self.skew_us.store(skew_us, Ordering::Release);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let skew_us = self.skew_us.load(Ordering::Acquire);
        Timestamp::from_micros(BEGINNING_US + micros(self.beginning.elapsed()) + skew_us)
    }

    fn uptime(&self) -> Duration {
        self.booted_at.elapsed()
    }
}
