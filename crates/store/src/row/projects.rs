//! A row of `projects` joined with its active deployment.

use keywright_domain::{DeploymentId, ProjectId, ProjectName, WorkspaceId};

use super::deployments::open_built;
use super::{Columns, Fields};
use crate::halt::Halt;
use crate::{ActiveDeployment, Project, Vault};

/// Reads a project with the `built_sealed` of its active deployment.
pub(crate) fn read_project(row: &dyn Columns, vault: &Vault, workspace: &WorkspaceId) -> Result<Project, Halt> {
    let fields = Fields::new(row, "projects", "id")?;
    let active = match fields.parse_optional("active_deployment", DeploymentId::parse)? {
        None => None,
        Some(id) => {
            let sealed = fields.bytes_optional("built_sealed")?;
            let sealed = sealed.ok_or_else(|| fields.corrupt("active_deployment", "that deployment is not ready"))?;
            let built = open_built(vault, workspace, &id, &sealed)?;
            let settings =
                built.settings().map_err(|error| fields.corrupt("active_deployment", format!("its settings file {error}")))?;
            Some(ActiveDeployment { id, settings, apis: built.apis })
        }
    };
    Ok(Project {
        id: fields.parse("id", ProjectId::parse)?,
        name: fields.parse("name", ProjectName::parse)?,
        active,
        created_at: fields.timestamp("created_at")?,
    })
}
