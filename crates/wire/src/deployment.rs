//! Deployments: what was uploaded and what its build found out.

use keywright_domain::{DeploymentStatus, Language, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// Uploaded; its dependencies are being installed and its code checked.
    Building,
    /// Usable.
    Ready,
    /// Refused; `problems` say why.
    Failed,
}

impl From<DeploymentStatus> for DeploymentState {
    fn from(status: DeploymentStatus) -> Self {
        match status {
            DeploymentStatus::Building => Self::Building,
            DeploymentStatus::Ready => Self::Ready,
            DeploymentStatus::Failed => Self::Failed,
        }
    }
}

/// The language of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProjectLanguage {
    /// TypeScript or JavaScript.
    Node,
    /// Python.
    Python,
}

impl From<Language> for ProjectLanguage {
    fn from(language: Language) -> Self {
        match language {
            Language::Node => Self::Node,
            Language::Python => Self::Python,
        }
    }
}

/// Something to tell the author about one place in the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentProblem {
    /// Path in the project.
    pub file: String,
    /// 1-based line, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
}

impl From<&Problem> for DeploymentProblem {
    fn from(problem: &Problem) -> Self {
        Self { file: problem.file.clone(), line: problem.line, message: problem.message.clone() }
    }
}

/// An uploaded version of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its identity.
    pub id: String,
    /// Its project.
    pub project_name: String,
    /// How far it has come.
    pub status: DeploymentState,
    /// Whether new work uses it.
    pub is_active: bool,
    /// The language, once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub language: Option<ProjectLanguage>,
    /// Its APIs, once it is ready.
    pub apis: Vec<String>,
    /// What is wrong with it; empty unless it failed.
    pub problems: Vec<DeploymentProblem>,
    /// What the deployer should know although it is ready.
    pub warnings: Vec<DeploymentProblem>,
    /// SHA-256 of the uploaded archive, in hex.
    pub digest: String,
    /// Size of the uploaded archive.
    pub size_bytes: u64,
    /// When it was uploaded.
    pub created_at: String,
    /// When its build ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub finished_at: Option<String>,
}

/// The newest deployments of a project, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentList {
    /// The deployments.
    pub deployments: Vec<Deployment>,
}
