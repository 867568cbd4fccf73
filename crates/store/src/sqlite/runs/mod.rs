//! Runs as rows: accepted ([`accept`]), taken ([`claim`]), moved on ([`commit`]) and stopped ([`cancel`]).
//!
//! Every write of a worker names the epoch of its claim. A write whose claim does not hold any more changes nothing.

mod accept;
mod cancel;
mod claim;
mod commit;
mod session;

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{AttemptNumber, Epoch, ProjectId, RunId, RunReason, Stage, WorkerId, WorkspaceId};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use crate::halt::{Halt, InMethod as _};
use crate::planted::{self, PlantedBug};
use crate::row::runs::{read_claim, read_output};
use crate::{Accepted, Claimed, CommitOutcome, Held, NewOperation, NewRun, RunCommit, RunOutput, Runs, StoreError, Vault};

pub(super) use cancel::cancel_unfinished_api_runs;
pub(super) use claim::SetAside;

#[async_trait]
impl Runs for SqliteStore {
    async fn accept_run(&self, workspace: &WorkspaceId, project: &ProjectId, new: NewRun) -> Result<Accepted, StoreError> {
        let (vault, workspace, project) = (self.vault.clone(), workspace.clone(), project.clone());
        self.write("accept_run", move |tx, now| accept::run(tx, vault, workspace, project, new, now).boxed()).await
    }

    async fn accept_operation(
        &self,
        workspace: &WorkspaceId,
        project: &ProjectId,
        new: NewOperation,
    ) -> Result<Accepted, StoreError> {
        let (vault, workspace, project) = (self.vault.clone(), workspace.clone(), project.clone());
        let second_step = planted::is(PlantedBug::AcceptInTwoSteps).then(|| (project.clone(), new.clone()));
        let accepted = self
            .write("accept_operation", move |tx, now| accept::operation(tx, vault, workspace, project, new, now).boxed())
            .await?;
        if let (Some((project, new)), Accepted::New { .. }) = (second_step, &accepted) {
            self.write("accept_operation", move |tx, now| accept::operation_alone(tx, project, new, now).boxed()).await?;
        }
        Ok(accepted)
    }

    async fn find_run(&self, project: &ProjectId, id: &RunId) -> Result<Option<RunOutput>, StoreError> {
        let find = || async { find_output(&mut *self.readers.acquire().await?, &self.vault, project, id).await };
        self.open_sealed("find_run", find).await
    }

    async fn claim_runs(&self, worker: &WorkerId, limit: u32) -> Result<Claimed, StoreError> {
        let (vault, set_aside, worker) = (self.vault.clone(), self.set_aside.clone(), worker.clone());
        self.write("claim_runs", move |tx, now| claim::claim(tx, vault, set_aside, worker, limit, now).boxed()).await
    }

    async fn release_run(&self, id: &RunId, epoch: Epoch) -> Result<(), StoreError> {
        let id = id.clone();
        self.write("release_run", move |tx, now| claim::release(tx, id, epoch, now).boxed()).await
    }

    async fn list_claims(&self, worker: &WorkerId) -> Result<Vec<(RunId, Epoch)>, StoreError> {
        list_claims(&self.readers, worker).await.in_method("list_claims")
    }

    async fn begin_attempt(&self, id: &RunId, epoch: Epoch, stage: Stage) -> Result<Option<AttemptNumber>, StoreError> {
        let id = id.clone();
        self.write("begin_attempt", move |tx, now| claim::begin_attempt(tx, id, epoch, stage, now).boxed()).await
    }

    async fn commit_run(&self, commit: RunCommit) -> Result<CommitOutcome, StoreError> {
        let vault = self.vault.clone();
        self.write("commit_run", move |tx, now| commit::commit(tx, vault, commit, now).boxed()).await
    }

    async fn cancel_run(&self, project: &ProjectId, id: &RunId, reason: RunReason) -> Result<Option<RunOutput>, StoreError> {
        let (vault, project, id) = (self.vault.clone(), project.clone(), id.clone());
        self.write("cancel_run", move |tx, now| cancel::cancel_run(tx, vault, project, id, reason, now).boxed()).await
    }

    async fn cancel_locked_out(&self, under: &Held, limit: u32) -> Result<Option<u64>, StoreError> {
        let (vault, under) = (self.vault.clone(), under.clone());
        self.write("cancel_locked_out", move |tx, now| cancel::cancel_locked_out(tx, vault, under, limit, now).boxed()).await
    }
}

/// What a run of this project shows the world.
async fn find_output(
    connection: &mut SqliteConnection,
    vault: &Vault,
    project: &ProjectId,
    id: &RunId,
) -> Result<Option<RunOutput>, Halt> {
    let row = sqlx::query("SELECT * FROM runs WHERE project_id = $1 AND id = $2")
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(|row| read_output(row, vault)).transpose()
}

async fn list_claims(readers: &SqlitePool, worker: &WorkerId) -> Result<Vec<(RunId, Epoch)>, Halt> {
    let query = "SELECT id, epoch FROM runs WHERE owner = $1 ORDER BY seq";
    let rows = sqlx::query(query).bind(worker.as_str()).fetch_all(readers).await?;
    rows.iter().map(|row| read_claim(row)).collect()
}
