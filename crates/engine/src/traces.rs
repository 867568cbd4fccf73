//! Traces on their way from raw to filed: cleaned after the run's commit, so that nobody waits for them.
//!
//! A few are cleaned at a time, some more wait, and what comes beyond that is dropped with the reason, because raw traces are
//! large and full of secrets. If the process dies here, the trace is still marked pending; whoever frees what its worker held
//! marks it dropped, and the executor's next start removes the raw file.

use std::sync::Arc;

use bytes::Bytes;
use keywright_domain::{AttemptId, WorkspaceId};
use keywright_store::{BlobKey, StoredBlob};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::PendingTrace;
use crate::backoff::{Repeat, patiently};
use crate::shared::Shared;

/// Traces being cleaned at once. One is enough to keep up; the second keeps a huge one from holding up the rest.
const MAX_CLEANING: usize = 2;

/// Raw traces on disk at once, those being cleaned included.
const MAX_PENDING: usize = 32;

/// How many traces may be where, and the tasks that deal with them.
#[derive(Debug)]
pub(crate) struct Traces {
    pending: Arc<Semaphore>,
    cleaning: Semaphore,
    tasks: TaskTracker,
}

impl Default for Traces {
    fn default() -> Self {
        let (pending, cleaning) = (Arc::new(Semaphore::new(MAX_PENDING)), Semaphore::new(MAX_CLEANING));
        Self { pending, cleaning, tasks: TaskTracker::new() }
    }
}

impl Traces {
    /// Returns once every trace is filed. Nothing new may come meanwhile.
    pub(crate) async fn filed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Cleans and files a trace in the background. The attempt's row says "pending" already. It outlives the worker's life, whose
/// end may have marked the trace as dropped; filing it then changes nothing.
pub(crate) fn file(shared: &Arc<Shared>, workspace: WorkspaceId, attempt: AttemptId, trace: Box<dyn PendingTrace>) {
    let task = Arc::clone(shared);
    shared.traces.tasks.spawn(async move {
        fail::fail_point!("engine::trace-pending");
        let (store, stop) = (&task.store, &task.stopping);
        let filed = match settle(&task, &workspace, &attempt, trace).await {
            Ok(blob) => {
                patiently("file a trace", Repeat::Harmless, stop, || store.file_trace(&attempt.run, attempt.number, blob.clone()))
                    .await
            }
            Err(why) => {
                patiently("drop a trace", Repeat::Harmless, stop, || store.drop_trace(&attempt.run, attempt.number, &why)).await
            }
        };
        if let Err(error) = filed {
            tracing::error!(error = &error as &dyn std::error::Error, attempt = %attempt, "a trace was not filed");
        }
    });
}

/// The stored trace, or why there is none.
async fn settle(
    shared: &Shared,
    workspace: &WorkspaceId,
    attempt: &AttemptId,
    trace: Box<dyn PendingTrace>,
) -> Result<StoredBlob, String> {
    let Ok(_pending) = Arc::clone(&shared.traces.pending).try_acquire_owned() else {
        trace.discard().await;
        return Err("too many traces were waiting to be cleaned of secrets".to_owned());
    };
    let cleaning = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => None,
        permit = shared.traces.cleaning.acquire() => permit.ok(),
    };
    let Some(_cleaning) = cleaning else {
        trace.discard().await;
        return Err("the server ended before the trace was cleaned of secrets".to_owned());
    };
    store(shared, workspace, attempt, trace.clean().await?).await
}

async fn store(shared: &Shared, workspace: &WorkspaceId, attempt: &AttemptId, bytes: Bytes) -> Result<StoredBlob, String> {
    let blob = StoredBlob { key: BlobKey::trace(attempt), size_bytes: bytes.len() as u64 };
    match shared.blobs.put(workspace, &blob.key, bytes).await {
        Ok(()) => Ok(blob),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, attempt = %attempt, "a trace could not be stored");
            Err("the blob store was not available".to_owned())
        }
    }
}
