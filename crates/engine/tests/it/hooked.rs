//! A node's way to the store: the real store, with moments at which the world can stop, calls that can fail or stay without
//! an answer, and signals that can stay away.
//!
//! At its moment the call never returns, the test is told, and drops everything the server had: what a kill leaves. While the
//! real store works, virtual time stands still, so that it takes no time at all.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keywright_domain::{
    AttemptNumber, DeploymentId, Epoch, FileId, KeyId, OperationId, Problem, ProjectId, RetentionPolicy, RunId, RunReason,
    SessionKey, Stage, Timestamp, WorkerId, WorkspaceId,
};
use keywright_store::{
    Accepted, ApiKey, AttemptRecord, Attempts, Audit, AuthSession, AuthSessions, Bootstrap, BuildEnd, BuiltDeployment, Claimed,
    CommitOutcome, DataKeys, Deployment, Deployments, Expired, Files, GarbageBlob, Held, History, Inventory, KeyValues, Keys,
    LeaseName, Leases, NamedBlob, NamedBy, NewDeployment, NewKey, NewOperation, NewRun, NewWorker, Operation, Operations,
    Project, Projects, Renewal, Rescued, RunCommit, RunEventRecord, RunOutput, Runs, SealedBatch, SealedCursor, Secrets,
    SessionSecrets, Signals, Store, StoreError, StoredBlob, StoredFile, Violation, WorkerRecord, Workers,
};
use serde_json::Value;
use tokio::sync::Notify;

use crate::time::WorldTime;

/// Decides, at every named moment, whether the world stops there.
type Decide = Box<dyn FnMut(&'static str) -> bool + Send>;

/// How the way to the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Open.
    Open,
    /// The store says at once that it is not available.
    Refused,
    /// Calls are swallowed: nothing comes back, whatever happens later.
    Swallowed,
}

/// When a call that fails is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    /// Not at all.
    No,
    /// It is, and only the answer is lost.
    Yes,
}

/// The moments and faults of one node's way.
pub(crate) struct Hook {
    decide: Mutex<Decide>,
    failures: Mutex<Vec<(&'static str, Carried, StoreError)>>,
    calls: Mutex<HashMap<&'static str, usize>>,
    way: Mutex<Way>,
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
            calls: Mutex::default(),
            way: Mutex::new(Way::Open),
            stopped: Mutex::default(),
            reached: Notify::new(),
        })
    }

    /// Makes the next call of a method fail without being carried out; several failures of one method come in the order in
    /// which they were named.
    pub(crate) fn fail(&self, method: &'static str, error: StoreError) {
        self.failures.lock().unwrap().push((method, Carried::No, error));
    }

    /// Has the next call of a method carried out, and its answer lost.
    pub(crate) fn lose_answer(&self, method: &'static str) {
        self.failures.lock().unwrap().push((method, Carried::Yes, unknown()));
    }

    /// How many failures have not come yet.
    pub(crate) fn failures_left(&self) -> usize {
        self.failures.lock().unwrap().len()
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &'static str) -> usize {
        self.calls.lock().unwrap().get(method).copied().unwrap_or_default()
    }

    /// Opens or closes the way to the store.
    pub(crate) fn set_way(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// Whether a call, or its answer, gets through; otherwise what is known of it then.
    async fn pass(&self, error: fn() -> StoreError) -> Result<(), StoreError> {
        let way = *self.way.lock().unwrap();
        match way {
            Way::Open => Ok(()),
            Way::Refused => Err(error()),
            Way::Swallowed => std::future::pending().await,
        }
    }

    fn next_failure(&self, method: &str, carried: Carried) -> Result<(), StoreError> {
        let mut failures = self.failures.lock().unwrap();
        match failures.iter().position(|(name, when, _)| *name == method && *when == carried) {
            Some(at) => Err(failures.remove(at).2),
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

pub(crate) fn away() -> StoreError {
    StoreError::Unavailable("nobody is there".into())
}

pub(crate) fn unknown() -> StoreError {
    StoreError::Unknown("the connection was cut".into())
}

/// The store as one node reaches it.
#[derive(Debug)]
pub(crate) struct Hooked {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) hook: Arc<Hook>,
    pub(crate) time: Arc<WorldTime>,
    /// What the node hears of commits; not the store's own when it is deaf.
    pub(crate) signals: Signals,
}

impl Hooked {
    async fn call<T>(
        &self,
        method: &'static str,
        [before, after]: [&'static str; 2],
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        *self.hook.calls.lock().unwrap().entry(method).or_default() += 1;
        self.hook.point(before).await;
        self.hook.pass(away).await?;
        self.hook.next_failure(method, Carried::No)?;
        let out = self.time.stand_still(work).await;
        // The answer has to come back the same way.
        self.hook.pass(unknown).await?;
        self.hook.next_failure(method, Carried::Yes)?;
        self.hook.point(after).await;
        out
    }
}

#[async_trait]
impl Store for Hooked {
    fn signals(&self) -> &Signals {
        &self.signals
    }

    async fn ping(&self) -> Result<Timestamp, StoreError> {
        self.call("ping", ["before ping", "after ping"], self.inner.ping()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

macro_rules! by_the_way {
    ($trait:ident: $($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl $trait for Hooked {
            $(async fn $name(&self, $($arg: $kind),*) -> Result<$out, StoreError> {
                const MOMENTS: [&str; 2] = [concat!("before ", stringify!($name)), concat!("after ", stringify!($name))];
                self.call(stringify!($name), MOMENTS, self.inner.$name($($arg),*)).await
            })*
        }
    };
}

by_the_way! { Keys:
    bootstrap(workspace: &WorkspaceId, key: NewKey) -> Bootstrap;
    find_key(hash: &[u8; 32]) -> Option<ApiKey>;
    create_key(workspace: &WorkspaceId, key: NewKey) -> ApiKey;
    list_keys(workspace: &WorkspaceId) -> Vec<ApiKey>;
    revoke_key(workspace: &WorkspaceId, id: &KeyId) -> Option<ApiKey>;
}
by_the_way! { Projects:
    find_project(workspace: &WorkspaceId, name: &str) -> Option<Project>;
    list_projects(workspace: &WorkspaceId) -> Vec<Project>;
}
by_the_way! { Operations:
    find_operation(project: &ProjectId, id: &OperationId) -> Option<Operation>;
}
by_the_way! { Files:
    insert_file(file: StoredFile) -> ();
    get_file(id: &FileId) -> Option<StoredFile>;
}
by_the_way! { KeyValues:
    get_value(workspace: &WorkspaceId, project: &ProjectId, key: &str) -> Option<Value>;
    set_value(workspace: &WorkspaceId, project: &ProjectId, key: &str, value: Value) -> ();
}
by_the_way! { AuthSessions:
    list_auth_sessions(project: &ProjectId) -> Vec<AuthSession>;
    find_auth_session(project: &ProjectId, id: &str) -> Option<AuthSession>;
    delete_auth_session(project: &ProjectId, id: &str) -> bool;
    session_secrets(key: &SessionKey) -> Option<SessionSecrets>;
}
by_the_way! { Deployments:
    accept_deployment(workspace: &WorkspaceId, new: NewDeployment) -> Deployment;
    claim_build(worker: &WorkerId) -> Option<Deployment>;
    release_build(worker: &WorkerId, id: &DeploymentId) -> ();
    finish_build(worker: &WorkerId, id: &DeploymentId, built: BuiltDeployment) -> BuildEnd;
    refuse_build(worker: &WorkerId, id: &DeploymentId, problems: Vec<Problem>) -> BuildEnd;
    find_deployment(project: &ProjectId, id: &DeploymentId) -> Option<Deployment>;
    get_deployment(id: &DeploymentId) -> Option<Deployment>;
    list_deployments(project: &ProjectId, limit: u32) -> Vec<Deployment>;
    activate_deployment(project: &ProjectId, id: &DeploymentId) -> Option<Deployment>;
}
by_the_way! { Attempts:
    list_attempts(project: &ProjectId, run: &RunId) -> Option<Vec<AttemptRecord>>;
    file_log(run: &RunId, number: AttemptNumber, log: StoredBlob) -> ();
    file_trace(run: &RunId, number: AttemptNumber, trace: StoredBlob) -> ();
    drop_trace(run: &RunId, number: AttemptNumber, reason: &str) -> ();
}
by_the_way! { Workers:
    register_worker(new: NewWorker) -> Rescued;
    renew_worker(id: &WorkerId, ttl_ms: u32) -> Renewal;
    retire_worker(id: &WorkerId) -> Rescued;
    rescue_workers(under: &Held, limit: u32) -> Option<Rescued>;
    list_workers(limit: u32) -> Vec<WorkerRecord>;
}
by_the_way! { Leases:
    acquire_lease(name: LeaseName, owner: &WorkerId, ttl_ms: u32) -> Option<Held>;
    release_lease(held: &Held) -> ();
}
by_the_way! { History:
    list_run_events(project: &ProjectId, run: &RunId, limit: u32) -> Option<Vec<RunEventRecord>>;
    expire_history(under: &Held, policy: &RetentionPolicy, limit: u32) -> Option<Expired>;
    list_garbage(limit: u32) -> Vec<GarbageBlob>;
    forget_garbage(removed: &[GarbageBlob]) -> ();
}
by_the_way! { Audit:
    audit(limit: u32) -> Vec<Violation>;
}
by_the_way! { Inventory:
    list_named_blobs(by: NamedBy, after: &str, limit: u32) -> Vec<NamedBlob>;
}
by_the_way! { Secrets:
    list_data_keys() -> Vec<DataKeys>;
    rotate_data_keys() -> ();
    reseal(workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> SealedBatch;
    settle_data_keys(workspace: &WorkspaceId) -> ();
    check_sealed(workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> SealedBatch;
}
by_the_way! { Runs:
    accept_run(workspace: &WorkspaceId, project: &ProjectId, new: NewRun) -> Accepted;
    accept_operation(workspace: &WorkspaceId, project: &ProjectId, new: NewOperation) -> Accepted;
    find_run(project: &ProjectId, id: &RunId) -> Option<RunOutput>;
    claim_runs(worker: &WorkerId, limit: u32) -> Claimed;
    release_run(id: &RunId, epoch: Epoch) -> ();
    list_claims(worker: &WorkerId) -> Vec<(RunId, Epoch)>;
    begin_attempt(id: &RunId, epoch: Epoch, stage: Stage) -> Option<AttemptNumber>;
    commit_run(commit: RunCommit) -> CommitOutcome;
    cancel_run(project: &ProjectId, id: &RunId, reason: RunReason) -> Option<RunOutput>;
    cancel_locked_out(under: &Held, limit: u32) -> Option<u64>;
}
