//! Plugs the runner into the engine. The two know nothing of each other; this is the only place that knows both.
//!
//! Translates and decides nothing. Holds no state of its own, so nothing is lost if the process dies here.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{AttemptOrder, BrowserChoice, DeploymentId, StoredFileLink};
use keywright_engine::{AttemptReport, BuildOutcome, CallError, Executor, PendingTrace, UserCalls};
use keywright_runner::{AttemptHost, BuildFailure, Built, HostError, Pool, RawTrace};
use keywright_store::{BuiltDeployment, Deployment};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The pool of slots, as the engine's executor.
#[derive(Clone, Debug)]
pub(crate) struct PoolExecutor(pub(crate) Pool);

#[async_trait]
impl Executor for PoolExecutor {
    async fn execute(&self, order: AttemptOrder, host: Arc<dyn UserCalls>, cancel: CancellationToken) -> AttemptReport {
        let report = self.0.execute(order, Arc::new(Host(host)), cancel).await;
        let trace = report.trace.map(|trace| Box::new(PoolTrace(trace)) as Box<dyn PendingTrace>);
        AttemptReport { end: report.end, log: report.log, trace }
    }

    async fn warm(&self, deployment: &DeploymentId, browser: BrowserChoice) {
        self.0.warm(deployment, browser).await;
    }
}

/// What user code may ask for, in the runner's words.
struct Host(Arc<dyn UserCalls>);

#[async_trait]
impl AttemptHost for Host {
    async fn get_value(&self, key: &str) -> Result<Option<Value>, HostError> {
        self.0.get_value(key).await.map_err(host_error)
    }

    async fn set_value(&self, key: &str, value: Value) -> Result<(), HostError> {
        self.0.set_value(key, value).await.map_err(host_error)
    }

    async fn store_file(&self, name: &str, content_type: Option<&str>, bytes: Bytes) -> Result<StoredFileLink, HostError> {
        self.0.store_file(name, content_type, bytes).await.map_err(host_error)
    }
}

fn host_error(error: CallError) -> HostError {
    match error {
        CallError::Refused(message) => HostError::Refused { code: "refused", message },
        error @ (CallError::Store(_) | CallError::Blob(_)) => HostError::Unavailable(Box::new(error)),
    }
}

/// A raw trace of the pool.
#[derive(Debug)]
struct PoolTrace(RawTrace);

#[async_trait]
impl PendingTrace for PoolTrace {
    async fn clean(self: Box<Self>) -> Result<Bytes, String> {
        let cleaned = tokio::task::spawn_blocking(move || keywright_runner::clean_trace(&self.0)).await;
        match cleaned {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(dropped)) => Err(dropped.to_string()),
            Err(_) => Err("the cleaning of the trace was interrupted".to_owned()),
        }
    }

    async fn discard(self: Box<Self>) {
        // The file may be gone already; the folder is wiped at the next start in any case.
        let _gone = tokio::fs::remove_file(&self.0.path).await;
    }
}

/// The builder of the runner crate, as the engine's.
#[derive(Debug)]
pub(crate) struct ProjectBuilder {
    pub(crate) builder: keywright_runner::Builder,
    pub(crate) relax_python: bool,
}

#[async_trait]
impl keywright_engine::Builder for ProjectBuilder {
    async fn build(&self, deployment: &Deployment, archive: Bytes) -> BuildOutcome {
        match self.builder.build(&deployment.id, archive, self.relax_python).await {
            Ok(built) => BuildOutcome::Built(stored(built)),
            Err(BuildFailure::Refused(problems)) => BuildOutcome::Refused(problems),
            Err(error @ BuildFailure::Infrastructure(_)) => {
                tracing::error!(deployment.id = %deployment.id, error = ?error, "a build failed for our own reasons");
                BuildOutcome::Infrastructure(error.to_string())
            }
        }
    }

    async fn is_here(&self, deployment: &DeploymentId) -> bool {
        self.builder.is_built(deployment).await
    }
}

fn stored(built: Built) -> BuiltDeployment {
    let Built { language, settings_file, settings_text, apis, python, playwright_root, warnings } = built;
    BuiltDeployment { language, settings_file, settings_text, apis, python, playwright_root, warnings }
}
