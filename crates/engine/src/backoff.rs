//! Patience with a store that is not available: pauses that grow to a bound, one line in the log when it begins and one
//! when it is over.
//!
//! Nothing is given up for being slow; only a stop of the engine ends the patience. What was to be written is then lost with
//! the process, which the store already knows as an open attempt.

use std::future::Future;
use std::time::Duration;

use keywright_domain::InvalidTransition;
use keywright_store::StoreError;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A database that comes back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why work on a run or a deployment cannot go on.
#[derive(Debug, Error)]
pub(crate) enum Halt {
    /// The engine was stopped while the store was not available.
    #[error("the engine was stopped while it waited for the store")]
    Stopped,
    /// The store refused for good.
    #[error("the store refused")]
    Store(#[source] StoreError),
    /// We asked the machine for something impossible.
    #[error("the run took a way it does not have")]
    Machine(#[from] InvalidTransition),
}

/// Pauses between tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    what: &'static str,
    next: Option<Duration>,
}

impl Backoff {
    /// For failures of `what`, which completes "cannot …".
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, next: None }
    }

    /// How long to wait after this failure. Only the first in a row is logged.
    pub(crate) fn after(&mut self, error: &StoreError) -> Duration {
        let pause = match self.next {
            Some(pause) => pause,
            None => {
                let error = error as &(dyn std::error::Error + 'static);
                tracing::warn!(error, "cannot {}; trying again until it works", self.what);
                FIRST_PAUSE
            }
        };
        self.next = Some((pause * 2).min(LONGEST_PAUSE));
        pause
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        if self.next.take().is_some() {
            tracing::info!("can {} again", self.what);
        }
    }
}

/// Calls the store until it answers something other than "not available".
pub(crate) async fn patiently<T, F, Fut>(what: &'static str, stop: &CancellationToken, mut call: F) -> Result<T, Halt>
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<T, StoreError>> + Send,
{
    let mut backoff = Backoff::new(what);
    loop {
        match call().await {
            Ok(value) => {
                backoff.reset();
                return Ok(value);
            }
            Err(error @ StoreError::Unavailable(_)) => {
                let pause = backoff.after(&error);
                tokio::select! {
                    () = stop.cancelled() => return Err(Halt::Stopped),
                    () = tokio::time::sleep(pause) => {}
                }
            }
            Err(error @ (StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_))) => {
                return Err(Halt::Store(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_over() {
        let error = StoreError::Unavailable("full".into());
        let mut backoff = Backoff::new("write");
        let pauses: Vec<_> = (0..10).map(|_| backoff.after(&error)).collect();
        assert_eq!(pauses[..3], [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]);
        assert_eq!(pauses[9], LONGEST_PAUSE);
        backoff.reset();
        assert_eq!(backoff.after(&error), FIRST_PAUSE);
    }

    #[tokio::test]
    async fn a_stop_ends_the_patience() {
        let stop = CancellationToken::new();
        stop.cancel();
        let outcome: Result<(), Halt> = patiently("write", &stop, || async { Err(StoreError::Unavailable("full".into())) }).await;
        assert!(matches!(outcome, Err(Halt::Stopped)));
    }

    #[tokio::test]
    async fn what_trying_later_cannot_help_is_not_tried_again() {
        let mut calls = 0;
        let stop = CancellationToken::new();
        let outcome: Result<(), Halt> = patiently("write", &stop, || {
            calls += 1;
            async { Err(StoreError::Corrupt { table: "runs", what: "state".to_owned() }) }
        })
        .await;
        assert!(matches!(outcome, Err(Halt::Store(_))));
        assert_eq!(calls, 1);
    }
}
