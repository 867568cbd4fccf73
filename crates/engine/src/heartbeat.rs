//! Renews a life's lease, on a timer of its own, and decides how long the life may go on.
//!
//! What is decided is [`keywright_domain::Tenure`]'s: a life that has had no acknowledged renewal for too long by a clock that
//! goes on while the machine sleeps is fenced, before its lease can have lapsed for others. A renewal is waited for only so
//! long, so that a database that hangs is one that does not answer.

use keywright_domain::{Beat, Standing};
use keywright_store::planted::{self, PlantedBug};
use keywright_store::{Renewal, StoreError};
use tokio::time::MissedTickBehavior;

use crate::life::Life;

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The engine drains, and nothing is under way under this life any more.
    Drained,
    /// Its lease could not be renewed in time.
    Fenced,
    /// The database has given it up, a part of it broke, or the engine waits for nothing any longer.
    Over,
}

/// Renews the lease until the life has to end.
pub(crate) async fn keep(life: &Life) -> End {
    let (terms, clock) = (life.shared.terms, &life.shared.clock);
    let mut beats = tokio::time::interval(terms.beat());
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick of an interval is at once, and the registration has just done what it would do.
    beats.reset();
    let mut drained = std::pin::pin!(drained(life));
    loop {
        let now = clock.uptime();
        let until = match life.tenure().standing(terms, now) {
            Standing::Holds { until } => until,
            Standing::Fenced if planted::is(PlantedBug::NoSelfFence) => now + terms.beat(),
            Standing::Fenced => return End::Fenced,
        };
        tokio::select! {
            biased;
            () = life.over.cancelled() => return End::Over,
            () = tokio::time::sleep(until.saturating_sub(now)) => continue,
            () = &mut drained => return End::Drained,
            _ = beats.tick() => {}
        }
        let sent_at = clock.uptime();
        // A quarter, so that there are several tries before the fence.
        let patience = (terms.fence() / 4).min(until.saturating_sub(sent_at));
        let renewal = tokio::time::timeout(patience, life.shared.store.renew_worker(&life.worker, terms.ttl_ms()));
        let answer = tokio::select! {
            biased;
            () = life.over.cancelled() => return End::Over,
            answer = renewal => answer,
        };
        let beat = match answer {
            Ok(Ok(Renewal::Renewed { .. })) if planted::is(PlantedBug::TenureFromAnswer) => {
                Beat::Acknowledged { sent_at: clock.uptime() }
            }
            Ok(Ok(Renewal::Renewed { database_now: _ })) => Beat::Acknowledged { sent_at },
            Ok(Ok(Renewal::Gone)) => Beat::Gone,
            Ok(Err(error)) => {
                report(&error);
                Beat::Unanswered
            }
            Err(_) => {
                tracing::warn!("the renewal of the lease was not answered in time");
                Beat::Unanswered
            }
        };
        life.answered(beat != Beat::Unanswered);
        match life.tenure().on(beat) {
            Some(next) => life.renewed(next),
            None => return End::Over,
        }
    }
}

/// Returns once the engine drains and everything under this life has ended, traces included.
async fn drained(life: &Life) {
    life.shared.draining.cancelled().await;
    life.tasks.close();
    life.tasks.wait().await;
    life.shared.traces.filed().await;
}

fn report(error: &StoreError) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "the lease could not be renewed");
}
