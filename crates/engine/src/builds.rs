//! Builds uploaded deployments, one at a time, oldest first.
//!
//! A project with problems is refused with them. A fault of ours is tried again a few times and then told to the deployer
//! too, because somebody waits for the answer. If the process dies here, the deployment still waits and the next life builds
//! it from its archive.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keywright_domain::Problem;
use keywright_store::{BlobKey, BuiltDeployment, Deployment};

use crate::BuildOutcome;
use crate::backoff::{Halt, patiently};
use crate::shared::Shared;

/// How often it looks by itself.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// How often a build is tried when the fault is ours.
const MAX_TRIES: u32 = 3;

/// Between two of these tries, and after a store that refused.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Builds until the engine drains. A build that is under way then is dropped and done again by the next life.
pub(crate) async fn build_all(shared: Arc<Shared>) {
    let draining = shared.draining.clone();
    // Dropping the loop at any await leaves a deployment that still waits, which is what a crash leaves too.
    draining.run_until_cancelled_owned(build_forever(&shared)).await;
}

async fn build_forever(shared: &Arc<Shared>) {
    let mut commits = shared.store.signals().subscribe();
    loop {
        commits.mark_unchanged();
        match build_next(shared).await {
            Ok(true) => {}
            Ok(false) => {
                // The store lives as long as the engine, so its signals do not end; if they did, the interval would be left.
                let _ = tokio::time::timeout(SWEEP_INTERVAL, commits.changed()).await;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a deployment cannot be built");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Builds the oldest deployment that waits. Returns whether there was one.
async fn build_next(shared: &Arc<Shared>) -> Result<bool, Halt> {
    let waiting = patiently("list deployments to build", &shared.draining, || shared.store.list_building()).await?;
    let Some(deployment) = waiting.first() else { return Ok(false) };
    match build(shared, deployment).await {
        Ok(built) => {
            patiently("finish a build", &shared.draining, || {
                shared.store.finish_build(&deployment.id, built.clone(), shared.clock.now())
            })
            .await?;
            warm(shared, deployment, &built);
        }
        Err(problems) => {
            patiently("refuse a build", &shared.draining, || {
                shared.store.refuse_build(&deployment.id, problems.clone(), shared.clock.now())
            })
            .await?;
        }
    }
    Ok(true)
}

async fn build(shared: &Shared, deployment: &Deployment) -> Result<BuiltDeployment, Vec<Problem>> {
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

async fn archive(shared: &Shared, deployment: &Deployment) -> Result<Bytes, String> {
    let found = shared.blobs.get(&deployment.workspace, &BlobKey::archive(&deployment.id)).await;
    found.map_err(|error| error.to_string())?.ok_or_else(|| "its archive is not in the blob store".to_owned())
}

/// Prepares for the first run, off everybody's path.
fn warm(shared: &Arc<Shared>, deployment: &Deployment, built: &BuiltDeployment) {
    let browser = built.settings().ok().and_then(|settings| settings.browser);
    let (task, id, browser) = (Arc::clone(shared), deployment.id.clone(), browser.unwrap_or(shared.defaults.browser));
    shared.tasks.spawn(async move {
        tokio::select! {
            () = task.draining.cancelled() => {}
            () = task.executor.warm(&id, browser) => {}
        }
    });
}
