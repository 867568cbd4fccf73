//! A row of `deployments`, with what its build found out sealed in one column.

use keywright_domain::{DeploymentId, DeploymentStatus, ProjectId, ProjectName, WorkspaceId};

use super::{Columns, Fields};
use crate::forms::{BuiltForm, to_json};
use crate::halt::Halt;
use crate::sealed::Seal;
use crate::{BuiltDeployment, Deployment, StoreError, Vault};

/// Reads a deployment. Its project's name and whether it is active are in columns `project_name` and `is_active`.
pub(crate) fn read_deployment(row: &dyn Columns, vault: &Vault) -> Result<Deployment, Halt> {
    let fields = Fields::new(row, "deployments", "id")?;
    let id = fields.parse("id", DeploymentId::parse)?;
    let workspace = fields.parse("workspace_id", WorkspaceId::parse)?;
    let sealed = fields.bytes_optional("built_sealed")?;
    Ok(Deployment {
        project: fields.parse("project_id", ProjectId::parse)?,
        project_name: fields.parse("project_name", ProjectName::parse)?,
        status: fields.one_of("status", DeploymentStatus::from_stored)?,
        is_active: fields.flag("is_active")?,
        built: sealed.map(|sealed| open_built(vault, &workspace, &id, &sealed)).transpose()?,
        problems: fields.json("problems")?,
        digest: fields.text("digest")?,
        size_bytes: fields.count("size_bytes")?,
        created_at: fields.timestamp("created_at")?,
        finished_at: fields.timestamp_optional("finished_at")?,
        id,
        workspace,
    })
}

/// Seals what a build found out.
pub(crate) fn seal_built(
    vault: &Vault,
    workspace: &WorkspaceId,
    id: &DeploymentId,
    built: &BuiltDeployment,
) -> Result<Vec<u8>, Halt> {
    seal(vault, workspace, id).bytes("built_sealed", to_json(&BuiltForm::from(built)).as_bytes())
}

/// Opens what a build found out.
pub(crate) fn open_built(
    vault: &Vault,
    workspace: &WorkspaceId,
    id: &DeploymentId,
    sealed: &[u8],
) -> Result<BuiltDeployment, Halt> {
    let plain = seal(vault, workspace, id).open("built_sealed", sealed)?;
    let corrupt = |why: String| {
        Halt::Store(StoreError::Corrupt { table: "deployments", what: format!("built_sealed of the row {id}: {why}") })
    };
    let form: BuiltForm = serde_json::from_slice(&plain).map_err(|error| corrupt(error.to_string()))?;
    BuiltDeployment::try_from(form).map_err(corrupt)
}

fn seal<'a>(vault: &'a Vault, workspace: &'a WorkspaceId, id: &'a DeploymentId) -> Seal<'a> {
    Seal { vault, workspace, table: "deployments", row: id.as_str() }
}
