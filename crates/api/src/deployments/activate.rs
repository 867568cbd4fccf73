//! `POST …/deployments/{deploymentId}/activate`: makes an earlier deployment the one that new work uses. Work that is under way
//! stays on its own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::Deployment;

use super::shown;
use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{DeploymentPath, Segments, WorkspacePath, no_deployment};

/// Activate a deployment
///
/// Only a ready one; activating the active one changes nothing.
#[utoipa::path(
    post,
    path = "/{workspaceId}/projects/{projectName}/deployments/{deploymentId}/activate",
    operation_id = "activateDeployment",
    tag = "additive.deployments",
    params(WorkspacePath, DeploymentPath),
    responses((status = 200, description = "The deployment, now active.", body = Deployment), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<DeploymentPath>,
) -> Result<Json<Deployment>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let id = path.deployment()?;
    if let Some(deployment) = app.parts.store.activate_deployment(&project.id, &id).await? {
        return Ok(Json(shown(deployment)));
    }
    match app.parts.store.find_deployment(&project.id, &id).await? {
        Some(_) => Err(ApiError::bad_request("only a deployment that is ready can be activated")),
        None => Err(no_deployment()),
    }
}
