//! Deployments as rows: accepted, given to a worker to be built, built or refused, and one of them active.
//!
//! A build is its worker's while the row names it; the end of a build that is another's by now changes nothing.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{DeploymentId, Problem, ProjectId, RunReason, WorkerId, WorkspaceId};

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use super::runs::cancel_unfinished_api_runs;
use super::transaction::Tx;
use super::workers::lock_live;
use crate::forms::to_json;
use crate::halt::Halt;
use crate::row::Fields;
use crate::row::deployments::{read_deployment, seal_built};
use crate::row::workers::labels_json;
use crate::{BuildEnd, BuiltDeployment, Deployment, Deployments, NewDeployment, StoreError, Vault};

/// Every column of a [`Deployment`]; conditions follow.
macro_rules! select_deployments {
    ($conditions:literal) => {
        concat!(
            "SELECT d.*, p.name AS project_name, p.active_deployment IS NOT DISTINCT FROM d.id AS is_active
             FROM deployments d JOIN projects p ON p.id = d.project_id ",
            $conditions
        )
    };
}

/// The oldest deployment that a worker may build: its own already, or nobody's and of a project whose labels it carries. One
/// that somebody is just taking is not waited for.
const NEXT_BUILD: &str = "
    SELECT d.id FROM deployments d
    JOIN projects p ON p.id = d.project_id
    JOIN workers w ON w.id = $1
    WHERE d.status = 'building'
    AND (d.builder = w.id OR d.builder IS NULL AND p.worker_labels::jsonb <@ w.labels::jsonb)
    ORDER BY d.builder IS NULL, d.seq LIMIT 1 FOR NO KEY UPDATE OF d SKIP LOCKED";

#[async_trait]
impl Deployments for PostgresStore {
    async fn accept_deployment(&self, workspace: &WorkspaceId, new: NewDeployment) -> Result<Deployment, StoreError> {
        let input = (self.desk.vault.clone(), workspace.clone(), new);
        self.write(Lane::Api, "accept_deployment", input, |tx, (vault, workspace, new)| accept(tx, vault, workspace, new).boxed())
            .await
    }

    async fn claim_build(&self, worker: &WorkerId) -> Result<Option<Deployment>, StoreError> {
        let input = (self.desk.vault.clone(), worker.clone());
        self.write(Lane::Engine, "claim_build", input, |tx, (vault, worker)| claim(tx, vault, worker).boxed()).await
    }

    async fn release_build(&self, worker: &WorkerId, id: &DeploymentId) -> Result<(), StoreError> {
        let input = (worker.clone(), id.clone());
        self.write(Lane::Engine, "release_build", input, |tx, (worker, id)| release(tx, worker, id).boxed()).await
    }

    async fn finish_build(&self, worker: &WorkerId, id: &DeploymentId, built: BuiltDeployment) -> Result<BuildEnd, StoreError> {
        let input = (self.desk.vault.clone(), worker.clone(), id.clone(), built);
        self.write(Lane::Engine, "finish_build", input, |tx, (vault, worker, id, built)| {
            finish(tx, vault, worker, id, built).boxed()
        })
        .await
    }

    async fn refuse_build(&self, worker: &WorkerId, id: &DeploymentId, problems: Vec<Problem>) -> Result<BuildEnd, StoreError> {
        let input = (worker.clone(), id.clone(), problems);
        self.write(Lane::Engine, "refuse_build", input, |tx, (worker, id, problems)| refuse(tx, worker, id, problems).boxed())
            .await
    }

    async fn find_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        let input = (self.desk.vault.clone(), id.clone());
        let found = self.read(Lane::Api, "find_deployment", input, |link, (vault, id)| get(link, vault, id).boxed()).await?;
        Ok(found.filter(|deployment| deployment.project == *project))
    }

    async fn get_deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        let input = (self.desk.vault.clone(), id.clone());
        self.read(Lane::Engine, "get_deployment", input, |link, (vault, id)| get(link, vault, id).boxed()).await
    }

    async fn list_deployments(&self, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        let input = (self.desk.vault.clone(), project.clone(), limit);
        self.read(Lane::Api, "list_deployments", input, |link, (vault, project, limit)| {
            list(link, vault, project, *limit).boxed()
        })
        .await
    }

    async fn activate_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        let input = (self.desk.vault.clone(), project.clone(), id.clone());
        self.write(Lane::Api, "activate_deployment", input, |tx, (vault, project, id)| {
            activate_ready(tx, vault, project, id).boxed()
        })
        .await
    }
}

async fn accept(tx: &mut Tx, vault: &Vault, workspace: &WorkspaceId, new: &NewDeployment) -> Result<Deployment, Halt> {
    let statement = sqlx::query(
        "INSERT INTO projects (id, workspace_id, name, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (workspace_id, name) DO NOTHING",
    )
    .bind(new.project_id_if_new.as_str())
    .bind(workspace.as_str())
    .bind(new.project.as_str())
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    let statement = sqlx::query(
        "INSERT INTO deployments (id, workspace_id, project_id, status, digest, size_bytes, created_at)
         SELECT $1, workspace_id, id, 'building', $4, $5, $6 FROM projects WHERE workspace_id = $2 AND name = $3",
    )
    .bind(new.id.as_str())
    .bind(workspace.as_str())
    .bind(new.project.as_str())
    .bind(new.digest.as_str())
    .bind(i64::try_from(new.size_bytes).map_err(|_| Halt::Misuse("an archive of more than 8 EiB"))?)
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    get(tx, vault, &new.id).await?.ok_or(Halt::Misuse("a deployment is not there right after it was stored"))
}

async fn claim(tx: &mut Tx, vault: &Vault, worker: &WorkerId) -> Result<Option<Deployment>, Halt> {
    if !lock_live(tx, worker).await? {
        return Ok(None);
    }
    let Some(row) = tx.read_optional(sqlx::query(NEXT_BUILD).bind(worker.as_str())).await? else { return Ok(None) };
    let id = Fields::new(&row, "deployments", "id")?.parse("id", DeploymentId::parse)?;
    let statement = sqlx::query("UPDATE deployments SET builder = $2 WHERE id = $1 AND builder IS NULL")
        .bind(id.as_str())
        .bind(worker.as_str());
    tx.change(statement).await?;
    get(tx, vault, &id).await
}

async fn release(tx: &mut Tx, worker: &WorkerId, id: &DeploymentId) -> Result<(), Halt> {
    let statement = sqlx::query("UPDATE deployments SET builder = NULL WHERE id = $1 AND builder = $2")
        .bind(id.as_str())
        .bind(worker.as_str());
    tx.change(statement).await?;
    Ok(())
}

async fn finish(
    tx: &mut Tx,
    vault: &Vault,
    worker: &WorkerId,
    id: &DeploymentId,
    built: &BuiltDeployment,
) -> Result<BuildEnd, Halt> {
    let statement = sqlx::query(select_deployments!("WHERE d.id = $1 AND d.builder = $2 FOR NO KEY UPDATE OF d"))
        .bind(id.as_str())
        .bind(worker.as_str());
    let Some(row) = tx.read_optional(statement).await? else { return Ok(BuildEnd::Stale) };
    let deployment = read_deployment(&row, vault)?;
    let statement =
        sqlx::query("UPDATE deployments SET status = 'ready', built_sealed = $2, finished_at = $3, builder = NULL WHERE id = $1")
            .bind(id.as_str())
            .bind(seal_built(vault, &deployment.workspace, id, built)?)
            .bind(tx.now.as_micros());
    tx.change(statement).await?;
    lock_project(tx, &deployment.project).await?;
    // Two builds of one project may end in the other order; the later upload is what its author wants to have.
    let statement = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM deployments d JOIN projects p ON p.active_deployment = d.id
                        WHERE p.id = $1 AND d.seq > (SELECT seq FROM deployments WHERE id = $2))",
    )
    .bind(deployment.project.as_str())
    .bind(id.as_str());
    let is_overtaken: bool = tx.read_value(statement).await?;
    if !is_overtaken {
        activate(tx, vault, &deployment.project, id, built).await?;
    }
    Ok(BuildEnd::Stored)
}

async fn refuse(tx: &mut Tx, worker: &WorkerId, id: &DeploymentId, problems: &[Problem]) -> Result<BuildEnd, Halt> {
    let statement = sqlx::query(
        "UPDATE deployments SET status = 'failed', problems = $3, finished_at = $4, builder = NULL WHERE id = $1 AND builder = $2",
    )
    .bind(id.as_str())
    .bind(worker.as_str())
    .bind(to_json(&problems))
    .bind(tx.now.as_micros());
    Ok(if tx.change(statement).await? == 1 { BuildEnd::Stored } else { BuildEnd::Stale })
}

async fn activate_ready(tx: &mut Tx, vault: &Vault, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, Halt> {
    // What is ready stays as it is for ever, so it need not be locked.
    let Some(found) = get(tx, vault, id).await?.filter(|found| found.project == *project) else { return Ok(None) };
    let Some(built) = &found.built else { return Ok(None) };
    lock_project(tx, project).await?;
    activate(tx, vault, project, id, built).await?;
    get(tx, vault, id).await
}

async fn lock_project(tx: &mut Tx, project: &ProjectId) -> Result<(), Halt> {
    tx.read_all(sqlx::query("SELECT id FROM projects WHERE id = $1 FOR NO KEY UPDATE").bind(project.as_str())).await.map(drop)
}

/// Activates a deployment of a project, whose row is locked. Runs that were taken while we waited for that lock were taken
/// under the deployment before.
async fn activate(
    tx: &mut Tx,
    vault: &Vault,
    project: &ProjectId,
    id: &DeploymentId,
    built: &BuiltDeployment,
) -> Result<(), Halt> {
    let settings = built.settings().map_err(|_| Halt::Misuse("a deployment whose settings file cannot be read is not ready"))?;
    let statement = sqlx::query(
        "UPDATE projects SET active_deployment = $2, max_concurrent = $3, worker_labels = $4,
             activated_at = greatest($5, (SELECT max(claimed_at) FROM runs WHERE project_id = $1 AND owner IS NOT NULL))
         WHERE id = $1",
    )
    .bind(project.as_str())
    .bind(id.as_str())
    .bind(i64::from(settings.max_concurrent))
    .bind(labels_json(&settings.worker_labels))
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    if !settings.is_api_access_enabled {
        cancel_unfinished_api_runs(tx, vault, project, &RunReason::ApiAccessDisabled).await?;
    }
    Ok(())
}

async fn get(link: &mut Link, vault: &Vault, id: &DeploymentId) -> Result<Option<Deployment>, Halt> {
    let statement = sqlx::query(select_deployments!("WHERE d.id = $1")).bind(id.as_str());
    link.read_optional(statement).await?.as_ref().map(|row| read_deployment(row, vault)).transpose()
}

async fn list(link: &mut Link, vault: &Vault, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, Halt> {
    let statement = sqlx::query(select_deployments!("WHERE d.project_id = $1 ORDER BY d.seq DESC LIMIT $2"))
        .bind(project.as_str())
        .bind(i64::from(limit));
    link.read_all(statement).await?.iter().map(|row| read_deployment(row, vault)).collect()
}
