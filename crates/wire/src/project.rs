//! Projects as the additive routes list them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Its name.
    pub name: String,
    /// The deployment that new work uses; absent until a first one is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub active_deployment_id: Option<String>,
    /// Whether its APIs need an AuthSession.
    pub auth_sessions_enabled: bool,
    /// The APIs of the active deployment.
    pub apis: Vec<String>,
    /// When it was first deployed.
    pub created_at: String,
}

/// All projects of a workspace, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectList {
    /// The projects.
    pub projects: Vec<Project>,
}
