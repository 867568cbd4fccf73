//! Deployments as rows: accepted, given to a worker to be built, built or refused, and one of them active.
//!
//! A build is its worker's while the row names it; the end of a build that is another's by now changes nothing.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{DeploymentId, Problem, ProjectId, RunReason, Timestamp, WorkerId, WorkspaceId};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::runs::cancel_unfinished_api_runs;
use crate::forms::to_json;
use crate::halt::Halt;
use crate::row::deployments::{read_deployment, seal_built};
use crate::row::workers::labels_json;
use crate::{BuildEnd, BuiltDeployment, Deployment, Deployments, NewDeployment, StoreError, Vault};

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

/// The oldest deployment that a live worker may build: its own already, or nobody's and of a project whose labels it carries.
const NEXT_BUILD: &str = "
    SELECT d.id FROM deployments d
    JOIN projects p ON p.id = d.project_id
    JOIN workers w ON w.id = $1 AND w.status = 'live'
    WHERE d.status = 'building' AND (d.builder = w.id OR d.builder IS NULL AND NOT EXISTS (
        SELECT 1 FROM json_each(p.worker_labels) wanted
        WHERE wanted.value NOT IN (SELECT carried.value FROM json_each(w.labels) carried)
    ))
    ORDER BY d.builder IS NULL, d.seq LIMIT 1";

#[async_trait]
impl Deployments for SqliteStore {
    async fn accept_deployment(&self, workspace: &WorkspaceId, new: NewDeployment) -> Result<Deployment, StoreError> {
        let (workspace, vault) = (workspace.clone(), self.vault.clone());
        self.write("accept_deployment", move |tx, now| accept(tx, vault, workspace, new, now).boxed()).await
    }

    async fn claim_build(&self, worker: &WorkerId) -> Result<Option<Deployment>, StoreError> {
        let (worker, vault) = (worker.clone(), self.vault.clone());
        self.write("claim_build", move |tx, _| claim(tx, vault, worker).boxed()).await
    }

    async fn release_build(&self, worker: &WorkerId, id: &DeploymentId) -> Result<(), StoreError> {
        let (worker, id) = (worker.clone(), id.clone());
        self.write("release_build", move |tx, _| release(tx, worker, id).boxed()).await
    }

    async fn finish_build(&self, worker: &WorkerId, id: &DeploymentId, built: BuiltDeployment) -> Result<BuildEnd, StoreError> {
        let (worker, id, vault) = (worker.clone(), id.clone(), self.vault.clone());
        self.write("finish_build", move |tx, now| finish(tx, vault, worker, id, built, now).boxed()).await
    }

    async fn refuse_build(&self, worker: &WorkerId, id: &DeploymentId, problems: Vec<Problem>) -> Result<BuildEnd, StoreError> {
        let (worker, id) = (worker.clone(), id.clone());
        self.write("refuse_build", move |tx, now| refuse(tx, worker, id, problems, now).boxed()).await
    }

    async fn find_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        let found = self.get_deployment(id).await?;
        Ok(found.filter(|deployment| deployment.project == *project))
    }

    async fn get_deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.open_sealed("get_deployment", || async { get(&mut *self.readers.acquire().await?, &self.vault, id).await }).await
    }

    async fn list_deployments(&self, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        self.open_sealed("list_deployments", || list(&self.readers, &self.vault, project, limit)).await
    }

    async fn activate_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        let (project, id, vault) = (project.clone(), id.clone(), self.vault.clone());
        self.write("activate_deployment", move |tx, now| activate_ready(tx, vault, project, id, now).boxed()).await
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

async fn claim(tx: &mut SqliteConnection, vault: Vault, worker: WorkerId) -> Result<Option<Deployment>, Halt> {
    let id: Option<String> = sqlx::query_scalar(NEXT_BUILD).bind(worker.as_str()).fetch_optional(&mut *tx).await?;
    let Some(id) = id else { return Ok(None) };
    sqlx::query("UPDATE deployments SET builder = $2 WHERE id = $1").bind(&id).bind(worker.as_str()).execute(&mut *tx).await?;
    let row = sqlx::query(select_deployments!("WHERE d.id = $1")).bind(&id).fetch_one(tx).await?;
    read_deployment(&row, &vault).map(Some)
}

async fn release(tx: &mut SqliteConnection, worker: WorkerId, id: DeploymentId) -> Result<(), Halt> {
    sqlx::query("UPDATE deployments SET builder = NULL WHERE id = $1 AND builder = $2")
        .bind(id.as_str())
        .bind(worker.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

async fn finish(
    tx: &mut SqliteConnection,
    vault: Vault,
    worker: WorkerId,
    id: DeploymentId,
    built: BuiltDeployment,
    now: Timestamp,
) -> Result<BuildEnd, Halt> {
    let row = sqlx::query(select_deployments!("WHERE d.id = $1 AND d.builder = $2"))
        .bind(id.as_str())
        .bind(worker.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(BuildEnd::Stale) };
    let deployment = read_deployment(&row, &vault)?;
    sqlx::query("UPDATE deployments SET status = 'ready', built_sealed = $2, finished_at = $3, builder = NULL WHERE id = $1")
        .bind(id.as_str())
        .bind(seal_built(&vault, &deployment.workspace, &id, &built)?)
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
    if !is_overtaken {
        activate(tx, &vault, &deployment.project, &id, &built, now).await?;
    }
    Ok(BuildEnd::Stored)
}

async fn refuse(
    tx: &mut SqliteConnection,
    worker: WorkerId,
    id: DeploymentId,
    problems: Vec<Problem>,
    now: Timestamp,
) -> Result<BuildEnd, Halt> {
    let done = sqlx::query(
        "UPDATE deployments SET status = 'failed', problems = $3, finished_at = $4, builder = NULL WHERE id = $1 AND builder = $2",
    )
    .bind(id.as_str())
    .bind(worker.as_str())
    .bind(to_json(&problems))
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(if done.rows_affected() == 1 { BuildEnd::Stored } else { BuildEnd::Stale })
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
    sqlx::query(
        "UPDATE projects SET active_deployment = $2, max_concurrent = $3, worker_labels = $4, activated_at = $5 WHERE id = $1",
    )
    .bind(project.as_str())
    .bind(id.as_str())
    .bind(settings.max_concurrent)
    .bind(labels_json(&settings.worker_labels))
    .bind(now.as_micros())
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

async fn list(readers: &SqlitePool, vault: &Vault, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, Halt> {
    let rows = sqlx::query(select_deployments!("WHERE d.project_id = $1 ORDER BY d.seq DESC LIMIT $2"))
        .bind(project.as_str())
        .bind(limit)
        .fetch_all(readers)
        .await?;
    rows.iter().map(|row| read_deployment(row, vault)).collect()
}
