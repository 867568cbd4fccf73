//! Patience with a store that is not available: pauses that grow to a bound, one line in the log when it begins and one
//! when it is over.
//!
//! Nothing is given up for being slow; only a stop of the engine, or the end of the worker's life, ends the patience. What
//! was to be written is then lost with the process, which the store already knows as an open attempt.

use std::future::Future;
use std::time::Duration;

use keywright_domain::InvalidTransition;
use keywright_store::StoreError;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A database that comes back is noticed within this time.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why work on a run or a deployment cannot go on.
#[derive(Debug, Error)]
pub(crate) enum Halt {
    /// The engine was stopped while the store was not available.
    #[error("the engine was stopped while it waited for the store")]
    Stopped,
    /// The worker's life is over: what it held is others', and nothing more is done under it.
    #[error("the life of the worker is over")]
    Over,
    /// The store cannot say whether it committed, and the call must not be made twice.
    #[error("what became of a commit is not known")]
    Unknown(#[source] StoreError),
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

/// Whether a call may be carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The second time changes nothing: it reads, or it names what it expects to find.
    Harmless,
    /// It would do more than once what is to be done once.
    Never,
}

/// Calls the store until it answers something other than "not available". An answer that nobody knows is asked for again
/// only where that is harmless.
pub(crate) async fn patiently<T, F, Fut>(
    what: &'static str,
    repeat: Repeat,
    stop: &CancellationToken,
    mut call: F,
) -> Result<T, Halt>
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<T, StoreError>> + Send,
{
    let mut backoff = Backoff::new(what);
    loop {
        let error = match call().await {
            Ok(value) => {
                backoff.reset();
                return Ok(value);
            }
            Err(error @ StoreError::Unavailable(_)) => error,
            Err(error @ StoreError::Unknown(_)) => match repeat {
                Repeat::Harmless => error,
                Repeat::Never => return Err(Halt::Unknown(error)),
            },
            Err(error @ (StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_))) => {
                return Err(Halt::Store(error));
            }
        };
        let pause = backoff.after(&error);
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Halt::Stopped),
            () = tokio::time::sleep(pause) => {}
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
        let outcome: Result<(), Halt> =
            patiently("write", Repeat::Never, &stop, || async { Err(StoreError::Unavailable("full".into())) }).await;
        assert!(matches!(outcome, Err(Halt::Stopped)));
    }

    #[tokio::test]
    async fn what_trying_later_cannot_help_is_not_tried_again() {
        let mut calls = 0;
        let stop = CancellationToken::new();
        let outcome: Result<(), Halt> = patiently("write", Repeat::Never, &stop, || {
            calls += 1;
            async { Err(StoreError::Corrupt { table: "runs", what: "state".to_owned() }) }
        })
        .await;
        assert!(matches!(outcome, Err(Halt::Store(_))));
        assert_eq!(calls, 1);
    }

    #[tokio::test]
    async fn an_unknown_commit_is_repeated_only_where_that_is_harmless() {
        for (repeat, is_done) in [(Repeat::Harmless, true), (Repeat::Never, false)] {
            let mut calls = 0;
            let outcome = patiently("write", repeat, &CancellationToken::new(), || {
                calls += 1;
                let is_first = calls == 1;
                async move { if is_first { Err(StoreError::Unknown("cut".into())) } else { Ok(()) } }
            })
            .await;
            assert!(if is_done { outcome.is_ok() } else { matches!(outcome, Err(Halt::Unknown(_))) });
        }
    }
}
