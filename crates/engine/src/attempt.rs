//! One attempt under way: handed to the executor, and told to end the moment its claim is lost or the server stops.
//!
//! If the process dies here, the attempt is open in the store and counts.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keywright_domain::{AttemptEnd, AttemptOrder, RunId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::AttemptReport;
use crate::calls::ProjectCalls;
use crate::ends::Told;
use crate::shared::Shared;

/// At least so long between two looks at a claim, however much is committed meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// A claim is looked at this often even if nothing seems to happen.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// An executor promises to be done ten seconds after it was told; after this it is not waited for any longer.
const ABORT_GRACE: Duration = Duration::from_secs(20);

/// Executes an order. `commits` was subscribed before the attempt was begun, so that no cancellation is missed.
pub(crate) async fn execute(
    shared: &Arc<Shared>,
    order: AttemptOrder,
    epoch: i64,
    commits: watch::Receiver<u64>,
) -> (AttemptReport, Option<Told>) {
    let calls = ProjectCalls { shared: Arc::clone(shared), workspace: order.workspace.clone(), project: order.project.clone() };
    let (attempt, cancel) = (order.attempt.clone(), CancellationToken::new());
    let mut work = pin!(shared.executor.execute(order, Arc::new(calls), cancel.clone()));
    let told = tokio::select! {
        biased;
        report = &mut work => return (report, None),
        () = claim_lost(shared, &attempt.run, epoch, commits) => Told::ClaimLost,
        () = shared.stopping.cancelled() => Told::Stopping,
    };
    cancel.cancel();
    match tokio::time::timeout(ABORT_GRACE, work).await {
        Ok(report) => (report, Some(told)),
        Err(_) => {
            tracing::error!(attempt = %attempt, "the executor did not end an attempt that it was told to end");
            (AttemptReport { end: AttemptEnd::Aborted, log: Bytes::new(), trace: None }, Some(told))
        }
    }
}

/// Returns when the claim does not hold any more. A store that cannot be asked says nothing: the commit will find out.
async fn claim_lost(shared: &Shared, run: &RunId, epoch: i64, mut commits: watch::Receiver<u64>) {
    loop {
        // The store lives as long as the engine, so its signals do not end; if they did, the interval would be left.
        let _ = tokio::time::timeout(LOOK_INTERVAL, commits.changed()).await;
        if let Ok(false) = shared.store.is_claim_current(run, epoch).await {
            return;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
