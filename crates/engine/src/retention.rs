//! Throws away what is not kept any longer, under the scheduler's seat: rows in small batches with pauses, then the blobs they
//! left, then the notes of those blobs.
//!
//! Stops when the engine drains or the seat is lost. If it stops or the process dies between the steps, the notes are still
//! there, and whoever has the seat next removes the blobs.

use std::sync::Arc;
use std::time::Duration;

use keywright_store::{GarbageBlob, Held, StoreError};

use crate::life::Life;

/// Things of each kind that one transaction removes.
const BATCH: u32 = 200;

/// Between two batches, so that accepting and executing always find room.
const BATCH_PAUSE: Duration = Duration::from_millis(100);

/// Between two rounds, each of which goes on until nothing is too old.
const ROUND_PAUSE: Duration = Duration::from_secs(60);

/// Why a round ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The seat is somebody else's.
    SeatLost,
    /// The store or the blob store refused; the next round is the next try.
    Refused,
}

/// Keeps house until the engine drains or the life is over.
pub(crate) async fn keep_house(life: Arc<Life>) {
    tokio::select! {
        biased;
        () = life.shared.draining.cancelled() => {}
        () = life.over.cancelled() => {}
        () = keep_house_forever(&life) => {}
    }
}

async fn keep_house_forever(life: &Life) {
    let mut seat = life.seat.subscribe();
    loop {
        // The seat's sender is the life's own, so it does not end before this does.
        let held = seat.wait_for(Option::is_some).await.ok().and_then(|held| held.clone());
        if let Some(held) = held
            && let Err(stop) = round(life, &held).await
        {
            tracing::debug!(?stop, "a round of retention ended before its time");
        }
        tokio::time::sleep(ROUND_PAUSE).await;
    }
}

/// Removes everything that is too old or too much.
async fn round(life: &Life, held: &Held) -> Result<(), Stop> {
    let store = &life.shared.store;
    loop {
        let expired = store.expire_history(held, &life.shared.retention, BATCH).await.map_err(|error| refused(&error))?;
        let expired = expired.ok_or(Stop::SeatLost)?;
        fail::fail_point!("engine::history-expired");
        // What an earlier holder of the seat left is removed as well, so this is done even if nothing was too old.
        while remove_garbage(life).await? {
            tokio::time::sleep(BATCH_PAUSE).await;
        }
        if expired.is_nothing() {
            return Ok(());
        }
        tracing::info!(runs = expired.runs, artifacts = expired.artifacts, "what is not kept any longer was removed");
        tokio::time::sleep(BATCH_PAUSE).await;
    }
}

/// Removes some blobs that no row names any more. Returns whether there may be more.
async fn remove_garbage(life: &Life) -> Result<bool, Stop> {
    let store = &life.shared.store;
    let garbage = store.list_garbage(BATCH).await.map_err(|error| refused(&error))?;
    let mut removed: Vec<GarbageBlob> = Vec::with_capacity(garbage.len());
    let mut failure = None;
    for blob in &garbage {
        match life.shared.blobs.delete(&blob.workspace, &blob.key).await {
            Ok(()) => removed.push(blob.clone()),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    if !removed.is_empty() {
        store.forget_garbage(&removed).await.map_err(|error| refused(&error))?;
    }
    if let Some(error) = failure {
        tracing::warn!(error = &error as &dyn std::error::Error, "a blob could not be removed; trying again later");
        return Err(Stop::Refused);
    }
    Ok(garbage.len() as u64 >= u64::from(BATCH))
}

fn refused(error: &StoreError) -> Stop {
    match error {
        // The heartbeat meets the same store and says so.
        StoreError::Unavailable(_) | StoreError::Unknown(_) => {}
        StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_) => {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "what is not kept any longer cannot be removed");
        }
    }
    Stop::Refused
}
