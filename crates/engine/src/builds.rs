//! Builds uploaded deployments, one at a time, oldest first.
//!
//! A project with problems is refused with them. A fault of ours is tried again a few times and then told to the deployer
//! too, because somebody waits for the answer. If the process dies here or the worker is lost, the deployment waits again and
//! whoever takes it builds it from its archive; an end that comes late changes nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keywright_domain::Problem;
use keywright_store::{BlobKey, BuildEnd, BuiltDeployment, Deployment};

use crate::BuildOutcome;
use crate::backoff::{Halt, Repeat};
use crate::life::Life;
use crate::shared::Shared;

/// How often it looks by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// How often a build is tried when the fault is ours.
const MAX_TRIES: u32 = 3;

/// Between two of these tries, and after a store that refused.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Builds until the engine drains or the life is over. A build that is under way when the engine drains is dropped and handed
/// back.
pub(crate) async fn build_all(life: Arc<Life>) {
    let mut commits = life.shared.store.signals().subscribe();
    loop {
        commits.mark_unchanged();
        let pause = match build_next(&life).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => LOOK_INTERVAL,
            Err(Halt::Over | Halt::Stopped) => return,
            Err(error @ (Halt::Store(_) | Halt::Unknown(_) | Halt::Machine(_))) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a deployment cannot be built");
                RETRY_PAUSE
            }
        };
        tokio::select! {
            biased;
            () = life.shared.draining.cancelled() => return,
            () = life.over.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            _ = commits.changed(), if pause == LOOK_INTERVAL => {}
        }
    }
}

/// Builds the oldest deployment that waits. Returns whether there was one.
async fn build_next(life: &Arc<Life>) -> Result<bool, Halt> {
    let (shared, store, worker) = (&life.shared, &life.shared.store, &life.worker);
    let claimed = tokio::select! {
        biased;
        () = shared.draining.cancelled() => return Ok(false),
        claimed = life.patiently("take a build", Repeat::Harmless, || store.claim_build(worker)) => claimed?,
    };
    let Some(deployment) = claimed else { return Ok(false) };
    let id = &deployment.id;
    let built = tokio::select! {
        biased;
        () = life.over.cancelled() => return Err(Halt::Over),
        () = shared.draining.cancelled() => {
            life.patiently("hand a build back", Repeat::Harmless, || store.release_build(worker, id)).await?;
            return Ok(false);
        }
        built = build(shared, &deployment) => built,
    };
    let end = match &built {
        Ok(built) => life.patiently("finish a build", Repeat::Harmless, || store.finish_build(worker, id, built.clone())).await?,
        Err(problems) => {
            life.patiently("refuse a build", Repeat::Harmless, || store.refuse_build(worker, id, problems.clone())).await?
        }
    };
    fail::fail_point!("engine::build-finished");
    match (end, built) {
        (BuildEnd::Stored, Ok(built)) => warm(life, &deployment, &built),
        (BuildEnd::Stored, Err(_)) => {}
        (BuildEnd::Stale, _) => tracing::warn!(deployment = %id, "a build ended that is somebody else's by now"),
    }
    Ok(true)
}

async fn build(shared: &Shared, deployment: &Deployment) -> Result<BuiltDeployment, Vec<Problem>> {
    let _folder = shared.folders.enter(&deployment.id).await;
    let mut tries = 1;
    loop {
        let outcome = match archive(shared, deployment).await {
            Ok(archive) => shared.builder.build(deployment, archive).await,
            Err(why) => BuildOutcome::Infrastructure(why),
        };
        match outcome {
            BuildOutcome::Built(built) => return Ok(built),
            BuildOutcome::Refused(problems) => return Err(problems),
            BuildOutcome::Infrastructure(why) if tries >= MAX_TRIES => {
                let message = format!("the server could not build this deployment: {why}");
                return Err(vec![Problem { file: String::new(), line: None, message }]);
            }
            BuildOutcome::Infrastructure(why) => {
                tracing::warn!(deployment = %deployment.id, why, tries, "a build failed by a fault of ours; trying again");
                tries += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// The archive of a deployment, or why it cannot be had.
pub(crate) async fn archive(shared: &Shared, deployment: &Deployment) -> Result<Bytes, String> {
    let found = shared.blobs.get(&deployment.workspace, &BlobKey::archive(&deployment.id)).await;
    found.map_err(|error| error.to_string())?.ok_or_else(|| "its archive is not in the blob store".to_owned())
}

/// Prepares for the first run, off everybody's path.
fn warm(life: &Arc<Life>, deployment: &Deployment, built: &BuiltDeployment) {
    let browser = built.settings().ok().and_then(|settings| settings.browser);
    let (task, id) = (Arc::clone(life), deployment.id.clone());
    let browser = browser.unwrap_or(life.shared.defaults.browser);
    life.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = task.shared.draining.cancelled() => {}
            () = task.over.cancelled() => {}
            () = task.shared.executor.warm(&id, browser) => {}
        }
    });
}
