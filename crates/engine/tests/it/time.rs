//! Time as the world has it: one clock of the database, which is right by definition, and a wrong one on every node. Under a
//! paused runtime it jumps from event to event; otherwise it is the real one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use keywright_domain::Timestamp;
use keywright_store::Clock;
use tokio::time::Instant;

/// When every world begins.
const BEGINNING_US: i64 = 1_800_000_000_000_000;

/// The world's time.
#[derive(Debug)]
pub(crate) struct WorldTime {
    beginning: Instant,
    /// Whether the runtime's time is paused and jumps when nothing else is to be done.
    pub(crate) is_virtual: bool,
    database: Arc<DatabaseClock>,
}

impl WorldTime {
    pub(crate) fn new(is_virtual: bool) -> Self {
        Self { beginning: Instant::now(), is_virtual, database: Arc::default() }
    }

    pub(crate) fn database_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.database) as Arc<dyn Clock>
    }

    /// The clock of a node, wrong by so much, whose machine has slept for so long and woken without anybody noticing yet.
    pub(crate) fn node_clock(&self, skew: Skew, slept_s: &Arc<AtomicU64>) -> NodeClock {
        NodeClock { beginning: self.beginning, booted_at: Instant::now(), skew, slept_s: Arc::clone(slept_s) }
    }

    /// How long the world has existed.
    pub(crate) fn elapsed(&self) -> Duration {
        self.beginning.elapsed()
    }

    /// Does what the database has to do, at the world's present moment and without its time going on.
    pub(crate) async fn stand_still<T>(&self, work: impl Future<Output = T>) -> T {
        self.database.0.fetch_max(micros(self.elapsed()), Ordering::AcqRel);
        if !self.is_virtual {
            return work.await;
        }
        // Paused time does not jump while a blocking task is under way. The task ends when the sender is dropped, also
        // together with this call.
        let (busy, is_over) = std::sync::mpsc::channel::<()>();
        let _held = tokio::task::spawn_blocking(move || is_over.recv().is_err());
        let out = work.await;
        drop(busy);
        out
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap()
}

/// The database's clock. The store reads it on threads that know nothing of the runtime's time, so it is set before each call.
#[derive(Debug, Default)]
struct DatabaseClock(AtomicI64);

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(BEGINNING_US + self.0.load(Ordering::Acquire))
    }

    fn uptime(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Acquire).unsigned_abs())
    }
}

/// How wrong a node's clock is, seconds.
pub(crate) type Skew = i64;

/// The clock of a node.
#[derive(Debug)]
pub(crate) struct NodeClock {
    beginning: Instant,
    booted_at: Instant,
    skew: Skew,
    slept_s: Arc<AtomicU64>,
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(BEGINNING_US + micros(self.beginning.elapsed()) + self.skew * 1_000_000)
    }

    fn uptime(&self) -> Duration {
        self.booted_at.elapsed() + Duration::from_secs(self.slept_s.load(Ordering::Acquire))
    }
}
