//! What executes attempts and builds deployments: the runners' pool where the process is a worker, nothing where it is not.
//!
//! Installing what runners need can take minutes at the first start. If the process dies meanwhile, the next start goes on.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{AttemptCode, AttemptEnd, AttemptFailure, AttemptOrder, BrowserChoice, DeploymentId};
use keywright_engine::{AttemptReport, BuildOutcome, Executor, UserCalls};
use keywright_runner::{BrowserConfig, BuilderConfig, Pool, PoolConfig, Protections, RuntimePaths, SandboxPolicy};
use keywright_store::Deployment;
use tokio_util::sync::CancellationToken;

use crate::adapter::{PoolExecutor, ProjectBuilder};
use crate::config::Config;

/// Who does the work.
#[derive(Clone, Debug)]
pub(super) struct Hands {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) builder: Arc<dyn keywright_engine::Builder>,
    pool: Option<Pool>,
}

impl Hands {
    /// The runners' pool and builder.
    pub(super) async fn of_worker(config: &Config) -> anyhow::Result<Self> {
        let installer = crate::config::installer();
        let runtime =
            RuntimePaths::ensure(&config.runtime_dir, &installer).await.context("the runner environments cannot be installed")?;
        let deployments = config.data_dir.join("deployments");
        let builder = keywright_runner::Builder::open(BuilderConfig {
            runtime: runtime.clone(),
            deployments: deployments.clone(),
            scratch: config.data_dir.join("builds"),
            installer,
        })
        .await
        .context("the builder cannot start")?;
        let pool = Pool::open(PoolConfig {
            runtime,
            deployments,
            slots: config.data_dir.join("slots"),
            traces: config.data_dir.join("traces"),
            concurrency: config.concurrency,
            browser: BrowserConfig {
                headless_shell: config.headless_shell_path.clone(),
                chromium: config.chromium_path.clone(),
                args: config.browser_args.clone(),
                ignore_https_errors: config.ignore_https_errors,
            },
            sandbox: if config.require_sandbox { SandboxPolicy::Required } else { SandboxPolicy::WhereAllowed },
        })
        .await
        .context("the worker cannot start")?;
        Ok(Self {
            executor: Arc::new(PoolExecutor(pool.clone())),
            builder: Arc::new(ProjectBuilder { builder, relax_python: config.relax_python }),
            pool: Some(pool),
        })
    }

    /// Those of a process that is no worker. Nobody asks them for anything.
    pub(super) fn none() -> Self {
        Self { executor: Arc::new(NoHands), builder: Arc::new(NoHands), pool: None }
    }

    /// Others than the pool's.
    #[cfg(feature = "failpoints")]
    pub(super) fn of(executor: Arc<dyn Executor>, builder: Arc<dyn keywright_engine::Builder>) -> Self {
        Self { executor, builder, pool: None }
    }

    /// What protects the machine from what they run; nothing where they run nothing.
    pub(super) fn protections(&self) -> Option<&Protections> {
        self.pool.as_ref().map(Pool::protections)
    }

    /// Ends every slot.
    pub(super) async fn close(&self) {
        if let Some(pool) = &self.pool {
            pool.close().await;
        }
    }
}

/// Does nothing and says so.
#[derive(Debug)]
struct NoHands;

const NO_WORKER: &str = "this process is no worker";

#[async_trait]
impl Executor for NoHands {
    async fn execute(&self, _order: AttemptOrder, _host: Arc<dyn UserCalls>, _cancel: CancellationToken) -> AttemptReport {
        let failure = AttemptFailure {
            code: AttemptCode::InternalServerError,
            message: NO_WORKER.to_owned(),
            is_retryable: true,
            is_counted: false,
        };
        AttemptReport { end: AttemptEnd::Failed(failure), log: Bytes::new(), trace: None }
    }

    async fn warm(&self, _deployment: &DeploymentId, _browser: BrowserChoice) {}
}

#[async_trait]
impl keywright_engine::Builder for NoHands {
    async fn build(&self, _deployment: &Deployment, _archive: Bytes) -> BuildOutcome {
        BuildOutcome::Infrastructure(NO_WORKER.to_owned())
    }

    async fn is_here(&self, _deployment: &DeploymentId) -> bool {
        false
    }
}
