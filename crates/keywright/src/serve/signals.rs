//! The signals that end a server: TERM and INT.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// They are caught from the moment this is made, so that none can end the process half-way.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot catch TERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot catch INT")?,
        })
    }

    /// Waits for the next one; its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "TERM",
            _ = self.interrupt.recv() => "INT",
        }
    }
}
