//! Runs as rows: accepted ([`accept`]), taken ([`claim`]), moved on ([`commit`]) and stopped ([`cancel`]).
//!
//! Every write of a worker names the epoch of its claim. A write whose claim does not hold any more changes nothing.

mod accept;
mod cancel;
mod claim;
mod commit;
mod record;
mod session;

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{AttemptNumber, ProjectId, RunId, RunReason, Stage, Timestamp, WorkerId, WorkspaceId};

use super::SqliteStore;
use super::halt::InMethod as _;
use crate::{Accepted, CommitOutcome, NewOperation, NewRun, RunCommit, RunOutput, RunRecord, Runs, StoreError};

pub(super) use cancel::cancel_unfinished_api_runs;
pub(super) use claim::SetAside;
pub(super) use record::read_state;

#[async_trait]
impl Runs for SqliteStore {
    async fn accept_run(
        &self,
        workspace: &WorkspaceId,
        project: &ProjectId,
        new: NewRun,
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        let (vault, workspace, project) = (self.vault.clone(), workspace.clone(), project.clone());
        self.write("accept_run", move |tx| accept::run(tx, vault, workspace, project, new, now).boxed()).await
    }

    async fn accept_operation(
        &self,
        workspace: &WorkspaceId,
        project: &ProjectId,
        new: NewOperation,
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        let (vault, workspace, project) = (self.vault.clone(), workspace.clone(), project.clone());
        self.write("accept_operation", move |tx| accept::operation(tx, vault, workspace, project, new, now).boxed()).await
    }

    async fn find_run(&self, project: &ProjectId, id: &RunId) -> Result<Option<RunOutput>, StoreError> {
        async { record::find_output(&mut *self.readers.acquire().await?, &self.vault, project, id).await }
            .await
            .in_method("find_run")
    }

    async fn claim_runs(&self, worker: &WorkerId, limit: u32, now: Timestamp) -> Result<Vec<RunRecord>, StoreError> {
        let (vault, set_aside, worker) = (self.vault.clone(), self.set_aside.clone(), worker.clone());
        self.write("claim_runs", move |tx| claim::claim(tx, vault, set_aside, worker, limit, now).boxed()).await
    }

    async fn release_all_claims(&self) -> Result<u64, StoreError> {
        self.write("release_all_claims", |tx| claim::release_all(tx).boxed()).await
    }

    async fn release_run(&self, id: &RunId, epoch: i64) -> Result<(), StoreError> {
        let id = id.clone();
        self.write("release_run", move |tx| claim::release(tx, id, epoch).boxed()).await
    }

    async fn is_claim_current(&self, id: &RunId, epoch: i64) -> Result<bool, StoreError> {
        async { claim::is_current(&mut *self.readers.acquire().await?, id, epoch).await }.await.in_method("is_claim_current")
    }

    async fn begin_attempt(
        &self,
        id: &RunId,
        epoch: i64,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Option<AttemptNumber>, StoreError> {
        let id = id.clone();
        self.write("begin_attempt", move |tx| claim::begin_attempt(tx, id, epoch, stage, now).boxed()).await
    }

    async fn commit_run(&self, commit: RunCommit) -> Result<CommitOutcome, StoreError> {
        let vault = self.vault.clone();
        self.write("commit_run", move |tx| commit::commit(tx, vault, commit).boxed()).await
    }

    async fn cancel_run(
        &self,
        project: &ProjectId,
        id: &RunId,
        reason: RunReason,
        now: Timestamp,
    ) -> Result<Option<RunOutput>, StoreError> {
        let (vault, project, id) = (self.vault.clone(), project.clone(), id.clone());
        self.write("cancel_run", move |tx| cancel::cancel_run(tx, vault, project, id, reason, now).boxed()).await
    }

    async fn cancel_locked_out(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        let vault = self.vault.clone();
        self.write("cancel_locked_out", move |tx| cancel::cancel_locked_out(tx, vault, limit, now).boxed()).await
    }
}
