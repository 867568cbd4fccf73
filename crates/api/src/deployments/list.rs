//! `GET …/deployments`: the newest deployments of a project.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::DeploymentList;

use super::shown;
use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{ProjectPath, Segments, WorkspacePath};

/// Most deployments in one answer.
const MAX_LISTED: u32 = 100;

/// List deployments
///
/// The newest 100, newest first.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/deployments",
    operation_id = "listDeployments",
    tag = "additive.deployments",
    params(WorkspacePath, ProjectPath),
    responses((status = 200, description = "The deployments.", body = DeploymentList), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<ProjectPath>,
) -> Result<Json<DeploymentList>, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let deployments = app.parts.store.list_deployments(&project.id, MAX_LISTED).await?;
    Ok(Json(DeploymentList { deployments: deployments.into_iter().map(shown).collect() }))
}
