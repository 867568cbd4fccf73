//! Data-free signals: "something was committed, look again".
//!
//! A signal carries nothing, so losing one costs a little time and never a fact: whoever waits also looks again by itself.

use std::sync::Arc;

use tokio::sync::watch;

/// Announces commits to whoever waits in this process.
#[derive(Clone, Debug)]
pub struct Signals {
    commits: Arc<watch::Sender<u64>>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { commits: Arc::new(watch::Sender::new(0)) }
    }
}

impl Signals {
    /// Says that something was committed.
    pub fn announce(&self) {
        self.commits.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Subscribes; subscribe first, then look, then wait, and no commit is missed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}
