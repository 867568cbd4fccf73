//! The scheduler's seat: whoever has it gives up workers whose leases have lapsed and ends runs that were locked out of their
//! session.
//!
//! Every scheduler asks for the seat at every sweep; the one that has it renews it thereby. What is done under the seat names
//! it, and changes nothing once the seat is somebody else's. If the process dies here, the seat lapses and the next sweep of
//! another takes it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use keywright_store::{Held, LeaseName, Rescued, StoreError};
use tokio::time::MissedTickBehavior;

use crate::life::Life;

/// Workers given up in one transaction.
const RESCUE_BATCH: u32 = 10;

/// Runs ended for having been locked out, in one transaction.
const LOCKED_OUT_BATCH: u32 = 100;

/// Transactions of one kind in one sweep; the next sweep goes on where this one stopped.
const MAX_BATCHES: u32 = 100;

/// A step of a sweep that takes longer is not waited for; the next sweep is the next try.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How a step of a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is done.
    Done,
    /// The seat is lost, the store does not answer, or the engine drains: this sweep is over.
    Stopped,
}

/// Sweeps until the engine drains or the life is over. The seat is given back when it drains.
pub(crate) async fn sweep(life: Arc<Life>) {
    let over = life.over.clone();
    over.run_until_cancelled_owned(sweep_until_drained(&life)).await;
}

async fn sweep_until_drained(life: &Life) {
    let mut ticks = tokio::time::interval(life.shared.terms.sweep());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = life.shared.draining.cancelled() => break,
            _ = ticks.tick() => {}
        }
        if let Some(held) = take_seat(life).await
            && rescue(life, &held).await == Step::Done
        {
            end_locked_out(life, &held).await;
        }
    }
    let held = life.seat.send_replace(None);
    life.shared.status.seated(false);
    if let Some(held) = held {
        // If this fails the seat lapses by itself.
        let _ = in_time(life, "give the scheduler's seat back", life.shared.store.release_lease(&held)).await;
    }
}

/// Takes the seat or renews it; nothing when it is somebody else's or nobody can say whose it is.
async fn take_seat(life: &Life) -> Option<Held> {
    let asked = life.shared.store.acquire_lease(LeaseName::Scheduler, &life.worker, life.shared.terms.ttl_ms());
    let held = in_time(life, "ask for the scheduler's seat", asked).await?;
    let was_held = life.seat.send_replace(held.clone()).is_some();
    if was_held != held.is_some() {
        tracing::info!(worker = %life.worker, is_held = held.is_some(), "the scheduler's seat has changed hands");
    }
    life.shared.status.seated(held.is_some());
    held
}

/// Gives up workers whose leases have lapsed, once the database has answered for long enough that they could have renewed.
async fn rescue(life: &Life, held: &Held) -> Step {
    for _ in 0..MAX_BATCHES {
        if !life.may_rescue() || life.shared.draining.is_cancelled() {
            break;
        }
        let rescued = in_time(life, "free what lost workers held", life.shared.store.rescue_workers(held, RESCUE_BATCH));
        let Some(Some(Rescued { workers, runs, builds, traces })) = rescued.await else { return Step::Stopped };
        fail::fail_point!("engine::rescued");
        if workers > 0 {
            tracing::warn!(workers, runs, builds, traces, "workers were lost; what they held is free");
        }
        if workers < u64::from(RESCUE_BATCH) {
            break;
        }
    }
    Step::Done
}

/// Ends runs that were locked out of their session for too long.
async fn end_locked_out(life: &Life, held: &Held) {
    for _ in 0..MAX_BATCHES {
        if life.shared.draining.is_cancelled() {
            return;
        }
        let canceled = life.shared.store.cancel_locked_out(held, LOCKED_OUT_BATCH);
        let Some(Some(count)) = in_time(life, "end runs that were locked out", canceled).await else { return };
        if count > 0 {
            tracing::info!(count, "runs waited too long for their AuthSession and were canceled");
        }
        if count < u64::from(LOCKED_OUT_BATCH) {
            return;
        }
    }
}

/// What the store answers, if it does so in time. What completes "cannot …" is logged otherwise.
async fn in_time<T>(life: &Life, what: &'static str, call: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    match tokio::time::timeout(STEP_TIMEOUT, call).await {
        Ok(Ok(value)) => {
            life.answered(true);
            Some(value)
        }
        // The heartbeat meets the same store and says so.
        Err(_) | Ok(Err(StoreError::Unavailable(_) | StoreError::Unknown(_))) => {
            life.answered(false);
            None
        }
        Ok(Err(error @ (StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_)))) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot {what}");
            None
        }
    }
}
