//! Who turns an uploaded archive into a deployment that can be executed, as the engine sees it.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{DeploymentId, Problem};
use keywright_store::{BuiltDeployment, Deployment};

/// Builds deployments.
#[async_trait]
pub trait Builder: Debug + Send + Sync {
    /// Unpacks, checks and prepares one upload. Called again for the same deployment after a crash or a fault, so it starts
    /// from nothing whatever an earlier call left. May be dropped half-way, and then stops what it started.
    async fn build(&self, deployment: &Deployment, archive: Bytes) -> BuildOutcome;

    /// Whether this machine has the whole result of a build of this deployment, whoever asked for it.
    async fn is_here(&self, deployment: &DeploymentId) -> bool;
}

/// What became of a build.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildOutcome {
    /// It can be executed.
    Built(BuiltDeployment),
    /// The project has problems that its author must solve.
    Refused(Vec<Problem>),
    /// We could not: no disk, no registry, no interpreter. The text is for the operator.
    Infrastructure(String),
}
