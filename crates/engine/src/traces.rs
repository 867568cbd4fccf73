//! Traces on their way from raw to filed: cleaned after the run's commit, so that nobody waits for them.
//!
//! A few are cleaned at a time, some more wait, and what comes beyond that is dropped with the reason, because raw traces are
//! large and full of secrets. If the process dies here, the trace is still marked pending; the next life marks it dropped and
//! the executor's next start removes the raw file.

use std::sync::Arc;

use bytes::Bytes;
use keywright_domain::{AttemptId, WorkspaceId};
use keywright_store::{BlobKey, TraceStatus};
use tokio::sync::Semaphore;

use crate::PendingTrace;
use crate::backoff::patiently;
use crate::shared::Shared;

/// Traces being cleaned at once. One is enough to keep up; the second keeps a huge one from holding up the rest.
const MAX_CLEANING: usize = 2;

/// Raw traces on disk at once, those being cleaned included.
const MAX_PENDING: usize = 32;

/// What a trace that an earlier life left behind is marked with.
pub(crate) const LOST: &str = "the server ended before the trace was cleaned of secrets";

/// How many traces may be where.
#[derive(Debug)]
pub(crate) struct Traces {
    pending: Arc<Semaphore>,
    cleaning: Semaphore,
}

impl Default for Traces {
    fn default() -> Self {
        Self { pending: Arc::new(Semaphore::new(MAX_PENDING)), cleaning: Semaphore::new(MAX_CLEANING) }
    }
}

/// Cleans and files a trace in the background. The attempt's row says "pending" already.
pub(crate) fn file(shared: &Arc<Shared>, workspace: WorkspaceId, attempt: AttemptId, trace: Box<dyn PendingTrace>) {
    let task = Arc::clone(shared);
    shared.tasks.spawn(async move {
        fail::fail_point!("engine::trace-pending");
        let status = settle(&task, &workspace, &attempt, trace).await;
        let filed =
            patiently("file a trace", &task.stopping, || task.store.file_trace(&attempt.run, attempt.number, status.clone()));
        if let Err(error) = filed.await {
            tracing::error!(error = &error as &dyn std::error::Error, attempt = %attempt, "a trace was not filed");
        }
    });
}

async fn settle(shared: &Shared, workspace: &WorkspaceId, attempt: &AttemptId, trace: Box<dyn PendingTrace>) -> TraceStatus {
    let Ok(_pending) = Arc::clone(&shared.traces.pending).try_acquire_owned() else {
        trace.discard().await;
        return TraceStatus::Dropped("too many traces were waiting to be cleaned of secrets".to_owned());
    };
    let cleaning = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => None,
        permit = shared.traces.cleaning.acquire() => permit.ok(),
    };
    let Some(_cleaning) = cleaning else {
        trace.discard().await;
        return TraceStatus::Dropped(LOST.to_owned());
    };
    match trace.clean().await {
        Ok(bytes) => store(shared, workspace, attempt, bytes).await,
        Err(why) => TraceStatus::Dropped(why),
    }
}

async fn store(shared: &Shared, workspace: &WorkspaceId, attempt: &AttemptId, bytes: Bytes) -> TraceStatus {
    let key = BlobKey::trace(attempt);
    match shared.blobs.put(workspace, &key, bytes).await {
        Ok(()) => TraceStatus::Stored(key),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, attempt = %attempt, "a trace could not be stored");
            TraceStatus::Dropped("the blob store was not available".to_owned())
        }
    }
}
