//! Deployments: upload, list, read, activate.

pub(crate) mod activate;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod upload;

use keywright_domain::ApiName;
use keywright_wire::{Deployment, DeploymentProblem, rfc3339};

/// Uploads that are taken in at once; each is held in memory whole until it is stored.
pub(crate) const MAX_UPLOADS_AT_ONCE: usize = 4;

fn shown(deployment: keywright_store::Deployment) -> Deployment {
    let built = deployment.built.as_ref();
    let problems = |problems: &[keywright_domain::Problem]| problems.iter().map(DeploymentProblem::from).collect();
    Deployment {
        id: deployment.id.to_string(),
        project_name: deployment.project_name.to_string(),
        status: deployment.status.into(),
        is_active: deployment.is_active,
        language: built.map(|built| built.language.into()),
        apis: built.map(|built| built.apis.iter().map(ApiName::to_string).collect()).unwrap_or_default(),
        problems: problems(&deployment.problems),
        warnings: built.map(|built| problems(&built.warnings)).unwrap_or_default(),
        digest: deployment.digest,
        size_bytes: deployment.size_bytes,
        created_at: rfc3339(deployment.created_at),
        finished_at: deployment.finished_at.map(rfc3339),
    }
}
