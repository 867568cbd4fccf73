//! Takes runs as places become free, and gives each to a driver of its own.
//!
//! Subscribes, looks, waits: no commit between two looks is missed. It also looks now and then without being asked, which is
//! when runs that were locked out of their session for too long are ended. If the process dies here, the claims are freed by
//! the next life.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::WorkerId;
use keywright_store::{RunRecord, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::MissedTickBehavior;

use crate::backoff::Backoff;
use crate::driver::{Driver, hand_back_later};
use crate::shared::Shared;

/// How often it looks by itself.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Runs ended for having been locked out, in one sweep.
const MAX_LOCKED_OUT: u32 = 100;

/// Takes runs until the engine drains.
pub(crate) async fn dispatch(shared: Arc<Shared>, worker: WorkerId) {
    let mut commits = shared.store.signals().subscribe();
    let mut backoff = Backoff::new("take runs");
    loop {
        commits.mark_unchanged();
        let pause = match take(&shared, &worker).await {
            Ok(()) => {
                backoff.reset();
                None
            }
            Err(error) => Some(backoff.after(&error)),
        };
        tokio::select! {
            biased;
            () = shared.draining.cancelled() => return,
            () = tokio::time::sleep(pause.unwrap_or(SWEEP_INTERVAL)) => {}
            _ = commits.changed(), if pause.is_none() => {}
            () = shared.freed.notified(), if pause.is_none() => {}
        }
    }
}

/// Fills the free places.
async fn take(shared: &Arc<Shared>, worker: &WorkerId) -> Result<(), StoreError> {
    let mut places = Vec::new();
    while let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() {
        places.push(place);
    }
    let limit = u32::try_from(places.len()).unwrap_or(u32::MAX);
    if limit == 0 || shared.draining.is_cancelled() {
        return Ok(());
    }
    let runs = shared.store.claim_runs(worker, limit, shared.clock.now()).await?;
    if !runs.is_empty() {
        fail::fail_point!("engine::claimed");
    }
    for (run, place) in runs.into_iter().zip(places) {
        lead(shared, run, place);
    }
    Ok(())
}

/// Has a run led, in its place. A driver that panics costs an attempt, not the run.
fn lead(shared: &Arc<Shared>, run: RunRecord, place: OwnedSemaphorePermit) {
    let task = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let led = task.tasks.spawn(Driver::new(Arc::clone(&task), run.clone()).drive());
        if let Err(error) = led.await {
            tracing::error!(error = &error as &dyn std::error::Error, run = %run.id, "the driver of a run broke");
            hand_back_later(&task, &run).await;
        }
        drop(place);
        task.freed.notify_one();
    });
}

/// Ends runs that were locked out of their session for too long, until the engine drains.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.draining.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match shared.store.cancel_locked_out(MAX_LOCKED_OUT, shared.clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "runs waited too long for their AuthSession and were canceled"),
            // The dispatcher meets the same store and says so; the next sweep is the next try.
            Err(StoreError::Unavailable(_)) => {}
            Err(error @ (StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_))) => {
                tracing::error!(error = &error as &dyn std::error::Error, "runs that wait for their AuthSession cannot be swept");
            }
        }
    }
}
