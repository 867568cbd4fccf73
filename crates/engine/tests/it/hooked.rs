//! A store that stops the world at a chosen moment, and is the real one otherwise.
//!
//! At its moment the call never returns, the test is told, and drops everything the server had: what a kill leaves.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keywright_domain::{
    AttemptNumber, DeploymentId, FileId, KeyId, OperationId, Problem, ProjectId, RunId, RunReason, SessionKey, Stage, Timestamp,
    WorkerId, WorkspaceId,
};
use keywright_store::{
    Accepted, ApiKey, AttemptRecord, Attempts, AuthSession, AuthSessions, BlobKey, Bootstrap, BuiltDeployment, CommitOutcome,
    Deployment, Deployments, Files, KeyValues, Keys, NewDeployment, NewKey, NewOperation, NewRun, Operation, Operations, Project,
    Projects, RunCommit, RunOutput, RunRecord, Runs, SessionSecrets, Signals, Store, StoreError, StoredFile, TraceStatus,
};
use serde_json::Value;
use tokio::sync::Notify;

/// Decides, at every named moment, whether the world stops there.
type Decide = Box<dyn FnMut(&'static str) -> bool + Send>;

/// The moments.
pub(crate) struct Hook {
    decide: Mutex<Decide>,
    failures: Mutex<Vec<(&'static str, StoreError)>>,
    stopped: Mutex<Option<&'static str>>,
    reached: Notify,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Hook {
    pub(crate) fn never() -> Arc<Self> {
        Self::when(|_| false)
    }

    pub(crate) fn when(decide: impl FnMut(&'static str) -> bool + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            decide: Mutex::new(Box::new(decide)),
            failures: Mutex::default(),
            stopped: Mutex::default(),
            reached: Notify::new(),
        })
    }

    /// Makes the next call of a method fail; several failures of one method come in the order in which they were named.
    pub(crate) fn fail(&self, method: &'static str, error: StoreError) {
        self.failures.lock().unwrap().push((method, error));
    }

    /// How many failures have not come yet.
    pub(crate) fn failures_left(&self) -> usize {
        self.failures.lock().unwrap().len()
    }

    fn next_failure(&self, method: &str) -> Result<(), StoreError> {
        let mut failures = self.failures.lock().unwrap();
        match failures.iter().position(|(name, _)| *name == method) {
            Some(at) => Err(failures.remove(at).1),
            None => Ok(()),
        }
    }

    /// A moment. Once the world has stopped, nobody gets past one.
    pub(crate) async fn point(&self, name: &'static str) {
        let is_over = {
            let mut stopped = self.stopped.lock().unwrap();
            if stopped.is_none() && (self.decide.lock().unwrap())(name) {
                *stopped = Some(name);
                self.reached.notify_one();
            }
            stopped.is_some()
        };
        if is_over {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the world has stopped, and says where.
    pub(crate) async fn reached(&self) -> &'static str {
        self.reached.notified().await;
        self.stopped.lock().unwrap().unwrap()
    }
}

/// The store with moments before and after what the engine does to it.
#[derive(Debug)]
pub(crate) struct Hooked {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) hook: Arc<Hook>,
}

impl Store for Hooked {
    fn signals(&self) -> &Signals {
        self.inner.signals()
    }
}

macro_rules! pass_on {
    ($trait:ident: $($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl $trait for Hooked {
            $(async fn $name(&self, $($arg: $kind),*) -> Result<$out, StoreError> {
                self.inner.$name($($arg),*).await
            })*
        }
    };
}

pass_on! { Keys:
    bootstrap(workspace: &WorkspaceId, key: NewKey, now: Timestamp) -> Bootstrap;
    find_key(hash: &[u8; 32]) -> Option<ApiKey>;
    create_key(workspace: &WorkspaceId, key: NewKey, now: Timestamp) -> ApiKey;
    list_keys(workspace: &WorkspaceId) -> Vec<ApiKey>;
    revoke_key(workspace: &WorkspaceId, id: &KeyId, now: Timestamp) -> Option<ApiKey>;
}
pass_on! { Projects:
    find_project(workspace: &WorkspaceId, name: &str) -> Option<Project>;
    list_projects(workspace: &WorkspaceId) -> Vec<Project>;
}
pass_on! { Operations:
    find_operation(project: &ProjectId, id: &OperationId) -> Option<Operation>;
}
pass_on! { Files:
    insert_file(file: StoredFile) -> ();
    get_file(id: &FileId) -> Option<StoredFile>;
}
pass_on! { KeyValues:
    get_value(workspace: &WorkspaceId, project: &ProjectId, key: &str) -> Option<Value>;
    set_value(workspace: &WorkspaceId, project: &ProjectId, key: &str, value: Value) -> ();
}

/// The methods that the engine calls for a run have a moment before and a moment after.
macro_rules! with_moments {
    ($self:ident, $name:literal, $call:expr) => {{
        $self.hook.point(concat!("before ", $name)).await;
        $self.hook.next_failure($name)?;
        let out = $call.await;
        $self.hook.point(concat!("after ", $name)).await;
        out
    }};
}

#[async_trait]
impl AuthSessions for Hooked {
    async fn list_auth_sessions(&self, project: &ProjectId) -> Result<Vec<AuthSession>, StoreError> {
        self.inner.list_auth_sessions(project).await
    }
    async fn find_auth_session(&self, project: &ProjectId, id: &str) -> Result<Option<AuthSession>, StoreError> {
        self.inner.find_auth_session(project, id).await
    }
    async fn delete_auth_session(&self, project: &ProjectId, id: &str) -> Result<bool, StoreError> {
        self.inner.delete_auth_session(project, id).await
    }
    async fn session_secrets(&self, key: &SessionKey) -> Result<Option<SessionSecrets>, StoreError> {
        with_moments!(self, "session_secrets", self.inner.session_secrets(key))
    }
}

#[async_trait]
impl Deployments for Hooked {
    async fn accept_deployment(
        &self,
        workspace: &WorkspaceId,
        new: NewDeployment,
        now: Timestamp,
    ) -> Result<Deployment, StoreError> {
        self.inner.accept_deployment(workspace, new, now).await
    }
    async fn list_building(&self) -> Result<Vec<Deployment>, StoreError> {
        self.inner.list_building().await
    }
    async fn finish_build(&self, id: &DeploymentId, built: BuiltDeployment, now: Timestamp) -> Result<(), StoreError> {
        with_moments!(self, "finish_build", self.inner.finish_build(id, built, now))
    }
    async fn refuse_build(&self, id: &DeploymentId, problems: Vec<Problem>, now: Timestamp) -> Result<(), StoreError> {
        self.inner.refuse_build(id, problems, now).await
    }
    async fn find_deployment(&self, project: &ProjectId, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.inner.find_deployment(project, id).await
    }
    async fn get_deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        with_moments!(self, "get_deployment", self.inner.get_deployment(id))
    }
    async fn list_deployments(&self, project: &ProjectId, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        self.inner.list_deployments(project, limit).await
    }
    async fn activate_deployment(
        &self,
        project: &ProjectId,
        id: &DeploymentId,
        now: Timestamp,
    ) -> Result<Option<Deployment>, StoreError> {
        self.inner.activate_deployment(project, id, now).await
    }
}

#[async_trait]
impl Runs for Hooked {
    async fn accept_run(
        &self,
        workspace: &WorkspaceId,
        project: &ProjectId,
        new: NewRun,
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        self.inner.accept_run(workspace, project, new, now).await
    }
    async fn accept_operation(
        &self,
        workspace: &WorkspaceId,
        project: &ProjectId,
        new: NewOperation,
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        self.inner.accept_operation(workspace, project, new, now).await
    }
    async fn find_run(&self, project: &ProjectId, id: &RunId) -> Result<Option<RunOutput>, StoreError> {
        self.inner.find_run(project, id).await
    }
    async fn claim_runs(&self, worker: &WorkerId, limit: u32, now: Timestamp) -> Result<Vec<RunRecord>, StoreError> {
        self.hook.next_failure("claim_runs")?;
        let claimed = self.inner.claim_runs(worker, limit, now).await;
        if claimed.as_ref().is_ok_and(|runs| !runs.is_empty()) {
            self.hook.point("after claim_runs").await;
        }
        claimed
    }
    async fn release_all_claims(&self) -> Result<u64, StoreError> {
        with_moments!(self, "release_all_claims", self.inner.release_all_claims())
    }
    async fn release_run(&self, id: &RunId, epoch: i64) -> Result<(), StoreError> {
        self.inner.release_run(id, epoch).await
    }
    async fn is_claim_current(&self, id: &RunId, epoch: i64) -> Result<bool, StoreError> {
        self.inner.is_claim_current(id, epoch).await
    }
    async fn begin_attempt(
        &self,
        id: &RunId,
        epoch: i64,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Option<AttemptNumber>, StoreError> {
        with_moments!(self, "begin_attempt", self.inner.begin_attempt(id, epoch, stage, now))
    }
    async fn commit_run(&self, commit: RunCommit) -> Result<CommitOutcome, StoreError> {
        with_moments!(self, "commit_run", self.inner.commit_run(commit))
    }
    async fn cancel_run(
        &self,
        project: &ProjectId,
        id: &RunId,
        reason: RunReason,
        now: Timestamp,
    ) -> Result<Option<RunOutput>, StoreError> {
        self.inner.cancel_run(project, id, reason, now).await
    }
    async fn cancel_locked_out(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        self.inner.cancel_locked_out(limit, now).await
    }
}

#[async_trait]
impl Attempts for Hooked {
    async fn list_attempts(&self, project: &ProjectId, run: &RunId) -> Result<Option<Vec<AttemptRecord>>, StoreError> {
        self.inner.list_attempts(project, run).await
    }
    async fn file_log(&self, run: &RunId, number: AttemptNumber, blob: BlobKey) -> Result<(), StoreError> {
        self.inner.file_log(run, number, blob).await
    }
    async fn file_trace(&self, run: &RunId, number: AttemptNumber, trace: TraceStatus) -> Result<(), StoreError> {
        with_moments!(self, "file_trace", self.inner.file_trace(run, number, trace))
    }
    async fn drop_pending_traces(&self, reason: &str) -> Result<u64, StoreError> {
        self.inner.drop_pending_traces(reason).await
    }
}
