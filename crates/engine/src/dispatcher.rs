//! Takes runs as places become free, and gives each to a driver of its own.
//!
//! Subscribes, looks, waits: no commit between two looks is missed, and it also looks now and then without being asked. Takes
//! little at first and after faults of this machine. If the process dies here, the claims are freed with the life that made
//! them.

use std::sync::Arc;
use std::time::Duration;

use keywright_store::{Claimed, RunRecord, StoreError};
use tokio::sync::OwnedSemaphorePermit;

use crate::backoff::{Backoff, LONGEST_PAUSE};
use crate::claims::Claim;
use crate::driver::{Driver, hand_back_later};
use crate::life::Life;
use crate::ramp;

/// How often it looks by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// When to look again, unless something happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// When something was committed or a place became free, and in any case after this long.
    Woken(Duration),
    /// Not before this long.
    After(Duration),
}

/// Takes runs until the engine drains or the life is over.
pub(crate) async fn dispatch(life: Arc<Life>) {
    let over = life.over.clone();
    over.run_until_cancelled_owned(dispatch_until_drained(&life)).await;
}

async fn dispatch_until_drained(life: &Arc<Life>) {
    let shared = &life.shared;
    let mut commits = shared.store.signals().subscribe();
    let mut backoff = Backoff::new("take runs");
    loop {
        commits.mark_unchanged();
        let next = match take(life).await {
            Ok(next) => {
                backoff.reset();
                next
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => Next::After(backoff.after(&error)),
            Err(error @ (StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_))) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store refuses to hand out runs");
                Next::After(LONGEST_PAUSE)
            }
        };
        let (pause, may_wake) = match next {
            Next::Woken(pause) => (pause, true),
            Next::After(pause) => (pause, false),
        };
        tokio::select! {
            biased;
            () = shared.draining.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            _ = commits.changed(), if may_wake => {}
            () = shared.freed.notified(), if may_wake => {}
        }
    }
}

/// Fills the free places, as far as this machine trusts itself.
async fn take(life: &Arc<Life>) -> Result<Next, StoreError> {
    let shared = &life.shared;
    let now = shared.clock.uptime();
    if let Some(pause) = shared.fitness.pause(now) {
        return Ok(Next::After(pause));
    }
    let busy = shared.capacity.saturating_sub(shared.places.available_permits());
    let open = ramp::open_places(now.saturating_sub(life.began_at), shared.capacity);
    let wanted = match (shared.fitness.is_unfit(), busy) {
        (false, busy) => open.saturating_sub(busy),
        // On trial: one run, and nothing beside it.
        (true, 0) => 1,
        (true, _) => 0,
    };
    let mut places = Vec::new();
    while places.len() < wanted
        && let Ok(place) = Arc::clone(&shared.places).try_acquire_owned()
    {
        places.push(place);
    }
    let limit = u32::try_from(places.len()).unwrap_or(u32::MAX);
    if limit > 0 && !shared.draining.is_cancelled() {
        let _taking = life.claims.taking.lock().await;
        match shared.store.claim_runs(&life.worker, limit).await? {
            Claimed::WorkerGone => life.over.cancel(),
            Claimed::Runs(runs) => {
                if !runs.is_empty() {
                    fail::fail_point!("engine::claimed");
                }
                for (run, place) in runs.into_iter().zip(places) {
                    let claim = life.claims.lead(run.id.clone(), run.epoch);
                    lead(life, run, claim, place);
                }
            }
        }
    }
    Ok(Next::Woken(if open < shared.capacity { ramp::STEP } else { LOOK_INTERVAL }))
}

/// Has a run led, in its place. A driver that panics costs an attempt, not the run.
fn lead(life: &Arc<Life>, run: RunRecord, claim: Claim, place: OwnedSemaphorePermit) {
    let task = Arc::clone(life);
    life.tasks.spawn(async move {
        let led = task.tasks.spawn(Driver::new(Arc::clone(&task), run.clone(), claim.lost.clone()).drive());
        if let Err(error) = led.await {
            tracing::error!(error = &error as &dyn std::error::Error, run = %run.id, "the driver of a run broke");
            hand_back_later(&task, &run).await;
        }
        drop(claim);
        drop(place);
        task.shared.freed.notify_one();
    });
}
