//! Deployments as rows: accepted, built or refused, and one of them active.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{DeploymentId, DeploymentStatus, Problem, ProjectId, ProjectName, RunReason, Timestamp, WorkspaceId};
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::forms::{BuiltForm, to_json};
use super::halt::{Halt, InMethod as _};
use super::row::Fields;
use super::runs::cancel_unfinished_api_runs;
use super::sealed::Seal;
use crate::{BuiltDeployment, Deployment, Deployments, NewDeployment, StoreError, Vault};

/// Every column of a [`Deployment`]; conditions follow.
macro_rules! select_deployments {
    ($conditions:literal) => {
        concat!(
            "SELECT d.*, p.name AS project_name, p.active_deployment IS d.id AS is_active
             FROM deployments d JOIN projects p ON p.id = d.project_id ",
            $conditions
        )
    };
}

#[async_trait]
impl Deployments for SqliteStore {
    async fn accept_deployment(
        &self,
        workspace: &WorkspaceId,
        new: NewDeployment,
        now: Timestamp,
    ) -> Result<Deployment, StoreError> {
        let (workspace, vault) = (workspace.clone(), self.vault.clone());
        self.write("accept_deployment", move |tx| accept(tx, vault, workspace, new, now).boxed()).await
    }

    async fn list_building(&self) -> Result<Vec<Deployment>, StoreError> {
        list_building(&self.readers, &self.vault).await.in_method("list_building")
    }

    async fn finish_build(&self, id: &DeploymentId, built: BuiltDeployment, now: Timestamp) -> Result<(), StoreError> {
        let (id, vault) = (id.clone(), self.vault.clone());
        self.write("finish_build", move |tx| finish(tx, vault, id, built, now).boxed()).await
    }

    async fn refuse_build(&self, id: &DeploymentId, problems: Vec<Problem>, now: Timestamp) -> Result<(), StoreError> {
        let id = id.clone();
        self.write("refuse_build", move |tx| refuse(tx, id, problems, now).boxed()).await
    }

    async fn find_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        let found = self.get_deployment(id).await?;
        Ok(found.filter(|deployment| deployment.project == *project))
    }

    async fn get_deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        async { get(&mut *self.readers.acquire().await?, &self.vault, id).await }.await.in_method("get_deployment")
    }

    async fn list_deployments(&self, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        list(&self.readers, &self.vault, project, limit).await.in_method("list_deployments")
    }

    async fn activate_deployment(
        &self,
        project: &ProjectId,
        id: &DeploymentId,
        now: Timestamp,
    ) -> Result<Option<Deployment>, StoreError> {
        let (project, id, vault) = (project.clone(), id.clone(), self.vault.clone());
        self.write("activate_deployment", move |tx| activate_ready(tx, vault, project, id, now).boxed()).await
    }
}

async fn accept(
    tx: &mut SqliteConnection,
    vault: Vault,
    workspace: WorkspaceId,
    new: NewDeployment,
    now: Timestamp,
) -> Result<Deployment, Halt> {
    sqlx::query(
        "INSERT INTO projects (id, workspace_id, name, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (workspace_id, name) DO NOTHING",
    )
    .bind(new.project_id_if_new.as_str())
    .bind(workspace.as_str())
    .bind(new.project.as_str())
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO deployments (id, workspace_id, project_id, status, digest, size_bytes, created_at)
         SELECT $1, workspace_id, id, 'building', $4, $5, $6 FROM projects WHERE workspace_id = $2 AND name = $3",
    )
    .bind(new.id.as_str())
    .bind(workspace.as_str())
    .bind(new.project.as_str())
    .bind(new.digest)
    .bind(i64::try_from(new.size_bytes).map_err(|_| Halt::Misuse("an archive of more than 8 EiB"))?)
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    get(tx, &vault, &new.id).await?.ok_or(Halt::Misuse("a deployment is not there right after it was stored"))
}

async fn finish(
    tx: &mut SqliteConnection,
    vault: Vault,
    id: DeploymentId,
    built: BuiltDeployment,
    now: Timestamp,
) -> Result<(), Halt> {
    let deployment = building(tx, &vault, &id).await?;
    let form = to_json(&BuiltForm::from(&built));
    let sealed = seal(&vault, &deployment.workspace, &id).bytes("built_sealed", form.as_bytes())?;
    sqlx::query("UPDATE deployments SET status = 'ready', built_sealed = $2, finished_at = $3 WHERE id = $1")
        .bind(id.as_str())
        .bind(sealed)
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
    // Two builds of one project may end in the other order; the later upload is what its author wants to have.
    let is_overtaken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM deployments d JOIN projects p ON p.active_deployment = d.id
                        WHERE p.id = $1 AND d.seq > (SELECT seq FROM deployments WHERE id = $2))",
    )
    .bind(deployment.project.as_str())
    .bind(id.as_str())
    .fetch_one(&mut *tx)
    .await?;
    if is_overtaken {
        return Ok(());
    }
    activate(tx, &vault, &deployment.project, &id, &built, now).await
}

async fn refuse(tx: &mut SqliteConnection, id: DeploymentId, problems: Vec<Problem>, now: Timestamp) -> Result<(), Halt> {
    let done = sqlx::query(
        "UPDATE deployments SET status = 'failed', problems = $2, finished_at = $3 WHERE id = $1 AND status = 'building'",
    )
    .bind(id.as_str())
    .bind(to_json(&problems))
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(NOT_BUILDING) }
}

const NOT_BUILDING: Halt = Halt::Misuse("a build ends that is not under way");

async fn building(tx: &mut SqliteConnection, vault: &Vault, id: &DeploymentId) -> Result<Deployment, Halt> {
    let found = get(tx, vault, id).await?;
    found.filter(|deployment| deployment.status == DeploymentStatus::Building).ok_or(NOT_BUILDING)
}

async fn activate_ready(
    tx: &mut SqliteConnection,
    vault: Vault,
    project: ProjectId,
    id: DeploymentId,
    now: Timestamp,
) -> Result<Option<Deployment>, Halt> {
    let Some(found) = get(tx, &vault, &id).await?.filter(|found| found.project == project) else { return Ok(None) };
    let Some(built) = &found.built else { return Ok(None) };
    activate(tx, &vault, &project, &id, built, now).await?;
    get(tx, &vault, &id).await
}

async fn activate(
    tx: &mut SqliteConnection,
    vault: &Vault,
    project: &ProjectId,
    id: &DeploymentId,
    built: &BuiltDeployment,
    now: Timestamp,
) -> Result<(), Halt> {
    let settings = built.settings().map_err(|_| Halt::Misuse("a deployment whose settings file cannot be read is not ready"))?;
    sqlx::query("UPDATE projects SET active_deployment = $2, max_concurrent = $3 WHERE id = $1")
        .bind(project.as_str())
        .bind(id.as_str())
        .bind(settings.max_concurrent)
        .execute(&mut *tx)
        .await?;
    if !settings.is_api_access_enabled {
        cancel_unfinished_api_runs(tx, vault, project, &RunReason::ApiAccessDisabled, now).await?;
    }
    Ok(())
}

async fn get(tx: &mut SqliteConnection, vault: &Vault, id: &DeploymentId) -> Result<Option<Deployment>, Halt> {
    let row = sqlx::query(select_deployments!("WHERE d.id = $1")).bind(id.as_str()).fetch_optional(tx).await?;
    row.as_ref().map(|row| read_deployment(row, vault)).transpose()
}

async fn list_building(readers: &SqlitePool, vault: &Vault) -> Result<Vec<Deployment>, Halt> {
    let rows = sqlx::query(select_deployments!("WHERE d.status = 'building' ORDER BY d.seq")).fetch_all(readers).await?;
    rows.iter().map(|row| read_deployment(row, vault)).collect()
}

async fn list(readers: &SqlitePool, vault: &Vault, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, Halt> {
    let rows = sqlx::query(select_deployments!("WHERE d.project_id = $1 ORDER BY d.seq DESC LIMIT $2"))
        .bind(project.as_str())
        .bind(limit)
        .fetch_all(readers)
        .await?;
    rows.iter().map(|row| read_deployment(row, vault)).collect()
}

fn read_deployment(row: &SqliteRow, vault: &Vault) -> Result<Deployment, Halt> {
    let fields = Fields::new(row, "deployments", "id")?;
    let id = fields.parse("id", DeploymentId::parse)?;
    let workspace = fields.parse("workspace_id", WorkspaceId::parse)?;
    let sealed: Option<Vec<u8>> = fields.get("built_sealed")?;
    Ok(Deployment {
        project: fields.parse("project_id", ProjectId::parse)?,
        project_name: fields.parse("project_name", ProjectName::parse)?,
        status: fields.one_of("status", DeploymentStatus::from_stored)?,
        is_active: fields.get("is_active")?,
        built: sealed.map(|sealed| open_built(vault, &workspace, &id, &sealed)).transpose()?,
        problems: fields.json("problems")?,
        digest: fields.get("digest")?,
        size_bytes: fields.count("size_bytes")?,
        created_at: fields.timestamp("created_at")?,
        finished_at: fields.timestamp_optional("finished_at")?,
        id,
        workspace,
    })
}

/// Opens what a build found out.
pub(super) fn open_built(
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
