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

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use crate::halt::Halt;
use crate::row::runs::{read_claim, read_output};
use crate::{Accepted, Claimed, CommitOutcome, Held, NewOperation, NewRun, RunCommit, RunOutput, Runs, StoreError, Vault};

pub(super) use cancel::cancel_unfinished_api_runs;
pub(super) use claim::SetAside;

#[async_trait]
impl Runs for PostgresStore {
    async fn accept_run(&self, workspace: &WorkspaceId, project: &ProjectId, new: NewRun) -> Result<Accepted, StoreError> {
        let input = (self.origin(workspace, project), new);
        self.write(Lane::Api, "accept_run", input, |tx, (origin, new)| accept::run(tx, origin, new).boxed()).await
    }

    async fn accept_operation(
        &self,
        workspace: &WorkspaceId,
        project: &ProjectId,
        new: NewOperation,
    ) -> Result<Accepted, StoreError> {
        let input = (self.origin(workspace, project), new);
        self.write(Lane::Api, "accept_operation", input, |tx, (origin, new)| accept::operation(tx, origin, new).boxed()).await
    }

    async fn find_run(&self, project: &ProjectId, id: &RunId) -> Result<Option<RunOutput>, StoreError> {
        let input = (self.desk.vault.clone(), project.clone(), id.clone());
        self.read(Lane::Api, "find_run", input, |link, (vault, project, id)| find_output(link, vault, project, id).boxed()).await
    }

    async fn claim_runs(&self, worker: &WorkerId, limit: u32) -> Result<Claimed, StoreError> {
        claim::claim_runs(self, worker, limit).await
    }

    async fn release_run(&self, id: &RunId, epoch: Epoch) -> Result<(), StoreError> {
        let input = (id.clone(), epoch);
        self.write(Lane::Engine, "release_run", input, |tx, (id, epoch)| claim::release(tx, id, *epoch).boxed()).await
    }

    async fn list_claims(&self, worker: &WorkerId) -> Result<Vec<(RunId, Epoch)>, StoreError> {
        self.read(Lane::Engine, "list_claims", worker.clone(), |link, worker| list_claims(link, worker).boxed()).await
    }

    async fn begin_attempt(&self, id: &RunId, epoch: Epoch, stage: Stage) -> Result<Option<AttemptNumber>, StoreError> {
        let input = (id.clone(), epoch, stage);
        self.write(Lane::Engine, "begin_attempt", input, |tx, (id, epoch, stage)| {
            claim::begin_attempt(tx, id, *epoch, *stage).boxed()
        })
        .await
    }

    async fn commit_run(&self, commit: RunCommit) -> Result<CommitOutcome, StoreError> {
        let input = (self.desk.vault.clone(), commit);
        self.write(Lane::Engine, "commit_run", input, |tx, (vault, commit)| commit::commit(tx, vault, commit).boxed()).await
    }

    async fn cancel_run(&self, project: &ProjectId, id: &RunId, reason: RunReason) -> Result<Option<RunOutput>, StoreError> {
        let input = (self.desk.vault.clone(), project.clone(), id.clone(), reason);
        self.write(Lane::Api, "cancel_run", input, |tx, (vault, project, id, reason)| {
            cancel::cancel_run(tx, vault, project, id, reason).boxed()
        })
        .await
    }

    async fn cancel_locked_out(&self, under: &Held, limit: u32) -> Result<Option<u64>, StoreError> {
        let input = (self.desk.vault.clone(), under.clone(), limit);
        self.write(Lane::Engine, "cancel_locked_out", input, |tx, (vault, under, limit)| {
            cancel::cancel_locked_out(tx, vault, under, *limit).boxed()
        })
        .await
    }
}

impl PostgresStore {
    fn origin(&self, workspace: &WorkspaceId, project: &ProjectId) -> accept::Origin {
        accept::Origin { vault: self.desk.vault.clone(), workspace: workspace.clone(), project: project.clone() }
    }
}

/// What a run of this project shows the world.
async fn find_output(link: &mut Link, vault: &Vault, project: &ProjectId, id: &RunId) -> Result<Option<RunOutput>, Halt> {
    let statement = sqlx::query("SELECT * FROM runs WHERE project_id = $1 AND id = $2").bind(project.as_str()).bind(id.as_str());
    link.read_optional(statement).await?.as_ref().map(|row| read_output(row, vault)).transpose()
}

async fn list_claims(link: &mut Link, worker: &WorkerId) -> Result<Vec<(RunId, Epoch)>, Halt> {
    let statement = sqlx::query("SELECT id, epoch FROM runs WHERE owner = $1 ORDER BY seq").bind(worker.as_str());
    link.read_all(statement).await?.iter().map(|row| read_claim(row)).collect()
}
