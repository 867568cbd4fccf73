//! `GET …/deployments/{deploymentId}`: how far a deployment has come and what its build found out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::Deployment;

use super::shown;
use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{DeploymentPath, Segments, WorkspacePath, no_deployment};

/// Read a deployment
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/deployments/{deploymentId}",
    operation_id = "getDeployment",
    tag = "additive.deployments",
    params(WorkspacePath, DeploymentPath),
    responses((status = 200, description = "The deployment.", body = Deployment), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<DeploymentPath>,
) -> Result<Json<Deployment>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let deployment = app.parts.store.find_deployment(&project.id, &path.deployment()?).await?.ok_or_else(no_deployment)?;
    Ok(Json(shown(deployment)))
}
