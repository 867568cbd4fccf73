//! Deployments that another machine has built: built here too, from their archive, before this machine's first attempt.
//!
//! The database is not touched: the deployment is ready, and what this machine finds out changes nothing about that. One build
//! at a time works on a deployment, and those who waited for it share its outcome. A machine that cannot build it hands the
//! run back, so that another can try, and does not trust itself for a while; after a few failures the fault is told as the
//! attempt's, so that a run that no machine can prepare ends. If the process dies here, half a folder is left, which is not
//! taken for a whole one.

use std::collections::HashMap;
use std::sync::Mutex;

use keywright_domain::DeploymentId;
use keywright_store::Deployment;

use crate::BuildOutcome;
use crate::builds::archive;
use crate::shared::Shared;

/// Failures of one deployment on this machine for which runs are handed back; later ones are told.
const MAX_HANDED_BACK: u32 = 3;

/// Deployments whose failures are remembered; when there are more, all are forgotten and count anew.
const MAX_REMEMBERED: usize = 256;

/// How this machine stands to a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// Its folder is here.
    Here,
    /// It could not be built here; another machine may do better.
    HandBack,
    /// It could not be built here, again and again. The reason is for a person.
    Failed(String),
}

#[derive(Clone, Debug)]
struct Failures {
    count: u32,
    last: String,
}

/// What failed on this machine since it last succeeded.
#[derive(Debug, Default)]
pub(crate) struct LocalBuilds(Mutex<HashMap<DeploymentId, Failures>>);

impl LocalBuilds {
    fn failures(&self, id: &DeploymentId) -> Option<Failures> {
        self.with(|failures| failures.get(id).cloned())
    }

    fn failed(&self, id: &DeploymentId, why: String) -> Failures {
        self.with(|failures| {
            if failures.len() >= MAX_REMEMBERED && !failures.contains_key(id) {
                failures.clear();
            }
            let entry = failures.entry(id.clone()).or_insert(Failures { count: 0, last: String::new() });
            *entry = Failures { count: entry.count.saturating_add(1), last: why };
            entry.clone()
        })
    }

    fn succeeded(&self, id: &DeploymentId) {
        self.with(|failures| failures.remove(id));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<DeploymentId, Failures>) -> T) -> T {
        work(&mut self.0.lock().expect("no thread panics while it holds this lock"))
    }
}

/// Makes sure that a ready deployment's folder is on this machine. May be dropped half-way.
pub(crate) async fn prepare(shared: &Shared, deployment: &Deployment) -> Preparation {
    let id = &deployment.id;
    if shared.builder.is_here(id).await {
        return Preparation::Here;
    }
    let count = |failures: &Option<Failures>| failures.as_ref().map_or(0, |failures| failures.count);
    let before = shared.local_builds.failures(id);
    let _folder = shared.folders.enter(id).await;
    if shared.builder.is_here(id).await {
        return Preparation::Here;
    }
    let meanwhile = shared.local_builds.failures(id);
    if let Some(failures) = meanwhile.filter(|failures| failures.count > count(&before)) {
        return judge(failures);
    }
    tracing::info!(deployment = %id, "building a deployment that another machine has built");
    match build(shared, deployment).await {
        Ok(()) => {
            shared.local_builds.succeeded(id);
            Preparation::Here
        }
        Err(why) => {
            tracing::error!(deployment = %id, why, "a deployment that was built elsewhere cannot be built here");
            shared.fitness.failed(shared.clock.uptime());
            judge(shared.local_builds.failed(id, why))
        }
    }
}

fn judge(failures: Failures) -> Preparation {
    if failures.count <= MAX_HANDED_BACK { Preparation::HandBack } else { Preparation::Failed(failures.last) }
}

async fn build(shared: &Shared, deployment: &Deployment) -> Result<(), String> {
    match shared.builder.build(deployment, archive(shared, deployment).await?).await {
        BuildOutcome::Built(_) => Ok(()),
        BuildOutcome::Infrastructure(why) => Err(why),
        // It was built elsewhere, so whatever is wrong with it is wrong with this machine.
        BuildOutcome::Refused(problems) => {
            let first = problems.into_iter().next().map_or_else(|| "no reason was given".to_owned(), |problem| problem.message);
            Err(format!("this machine refuses what another has built: {first}"))
        }
    }
}
