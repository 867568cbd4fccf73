//! The segments of a path, percent-decoded once. What cannot be decoded names nothing: 404.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use keywright_domain::{AttemptNumber, DeploymentId, OperationId, RunId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::ApiError;

/// The segments, as the type that names them.
pub(crate) struct Segments<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(segments) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("the path cannot be decoded, so it names nothing"))?;
        Ok(Self(segments))
    }
}

/// The segment that every keyed route begins with, for the document. The layer that authenticates reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct WorkspacePath {
    /// The workspace.
    #[param(rename = "workspaceId", format = "uuid")]
    workspace_id: String,
}

/// A project.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct ProjectPath {
    /// The project's name.
    pub(crate) project_name: String,
}

/// A run of a project.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct RunPath {
    /// The project's name.
    pub(crate) project_name: String,
    /// The run.
    run_id: String,
}

impl RunPath {
    pub(crate) fn run(&self) -> Result<RunId, ApiError> {
        RunId::parse(&self.run_id).map_err(|_| no_run())
    }
}

/// An attempt of a run.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct AttemptPath {
    /// The project's name.
    pub(crate) project_name: String,
    /// The run.
    run_id: String,
    /// The attempt's number, from 1.
    #[param(value_type = u32)]
    number: String,
}

impl AttemptPath {
    pub(crate) fn run(&self) -> Result<RunId, ApiError> {
        RunId::parse(&self.run_id).map_err(|_| no_run())
    }

    pub(crate) fn number(&self) -> Result<AttemptNumber, ApiError> {
        self.number.parse().ok().and_then(AttemptNumber::new).ok_or_else(no_attempt)
    }
}

/// An AuthSession of a project.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct SessionPath {
    /// The project's name.
    pub(crate) project_name: String,
    /// The AuthSession.
    pub(crate) auth_session_id: String,
}

/// An operation of a project.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct OperationPath {
    /// The project's name.
    pub(crate) project_name: String,
    /// The handle that the start answered.
    operation_id: String,
}

impl OperationPath {
    pub(crate) fn operation(&self) -> Result<OperationId, ApiError> {
        OperationId::parse(&self.operation_id).map_err(|_| no_operation())
    }
}

/// An operation on an AuthSession.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct SessionOperationPath {
    /// The project's name.
    pub(crate) project_name: String,
    /// The AuthSession.
    pub(crate) auth_session_id: String,
    /// The handle that the start answered.
    operation_id: String,
}

impl SessionOperationPath {
    pub(crate) fn operation(&self) -> Result<OperationId, ApiError> {
        OperationId::parse(&self.operation_id).map_err(|_| no_operation())
    }
}

/// A deployment of a project.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct DeploymentPath {
    /// The project's name.
    pub(crate) project_name: String,
    /// The deployment.
    deployment_id: String,
}

impl DeploymentPath {
    pub(crate) fn deployment(&self) -> Result<DeploymentId, ApiError> {
        DeploymentId::parse(&self.deployment_id).map_err(|_| no_deployment())
    }
}

/// A key of a workspace.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// The key's public identity.
    pub(crate) key_id: String,
}

/// The 404s of things that have an id, whether it is malformed, unknown or somebody else's.
pub(crate) fn no_run() -> ApiError {
    ApiError::not_found("there is no such run in this project")
}

pub(crate) fn no_attempt() -> ApiError {
    ApiError::not_found("this run has no such attempt")
}

pub(crate) fn no_operation() -> ApiError {
    ApiError::not_found("there is no such operation in this project")
}

pub(crate) fn no_session() -> ApiError {
    ApiError::not_found("there is no such AuthSession in this project")
}

pub(crate) fn no_deployment() -> ApiError {
    ApiError::not_found("there is no such deployment of this project")
}
