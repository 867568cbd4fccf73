//! One attempt under way: handed to the executor, and told to end the moment its claim is lost, the worker's life is over or
//! the server stops.
//!
//! If the process dies here, the attempt is open in the store and counts.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keywright_domain::{AttemptEnd, AttemptOrder};
use tokio_util::sync::CancellationToken;

use crate::AttemptReport;
use crate::calls::ProjectCalls;
use crate::ends::Told;
use crate::life::Life;

/// An executor promises to be done ten seconds after it was told; after this it is not waited for any longer.
const ABORT_GRACE: Duration = Duration::from_secs(20);

/// Executes an order under a claim.
pub(crate) async fn execute(life: &Life, order: AttemptOrder, claim_lost: &CancellationToken) -> (AttemptReport, Option<Told>) {
    let shared = &life.shared;
    let calls = ProjectCalls { shared: Arc::clone(shared), workspace: order.workspace.clone(), project: order.project.clone() };
    let (attempt, cancel) = (order.attempt.clone(), CancellationToken::new());
    let mut work = pin!(shared.executor.execute(order, Arc::new(calls), cancel.clone()));
    let told = tokio::select! {
        biased;
        report = &mut work => {
            note_start(life, &report.end);
            return (report, None);
        }
        () = claim_lost.cancelled() => Told::ClaimLost,
        () = life.over.cancelled() => Told::LifeOver,
        () = shared.stopping.cancelled() => Told::Stopping,
    };
    cancel.cancel();
    let ended = tokio::select! {
        biased;
        report = &mut work => Some(report),
        () = tokio::time::sleep(ABORT_GRACE) => None,
        () = shared.abandoning.cancelled() => None,
    };
    let report = ended.unwrap_or_else(|| {
        tracing::error!(attempt = %attempt, "the executor did not end an attempt that it was told to end");
        AttemptReport { end: AttemptEnd::Aborted, log: Bytes::new(), trace: None }
    });
    (report, Some(told))
}

/// Remembers whether this machine could start the attempt.
fn note_start(life: &Life, end: &AttemptEnd) {
    match end {
        AttemptEnd::Failed(failure) if !failure.is_counted => life.shared.fitness.failed(life.shared.clock.uptime()),
        AttemptEnd::Failed(_)
        | AttemptEnd::Returned { .. }
        | AttemptEnd::Captured { .. }
        | AttemptEnd::CheckPassed
        | AttemptEnd::Aborted => life.shared.fitness.started(),
    }
}
