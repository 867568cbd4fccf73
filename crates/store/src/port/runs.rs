//! Runs: acceptance, claims, and the one commit that carries a transition with everything that belongs to it.
//!
//! A run is owned by at most one worker; the claim raises its epoch and every later write names that epoch. A write with
//! an older epoch changes nothing and says so.

use async_trait::async_trait;
use keywright_domain::{
    ApiName, AttemptNumber, AuthSessionId, DeploymentId, Effect, Epoch, ExtendedPayload, OperationId, ProjectId, ProjectName,
    ProxyUrl, RunId, RunKind, RunPlan, RunReason, RunState, Secret, SessionBinding, SessionKey, Stage, TimeoutSeconds, Timestamp,
    WorkerId, WorkspaceId,
};
use serde_json::Value;

use crate::{AttemptClose, Held, StoreError};

/// The caller's promise that a repeated request is the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// A digest of route and body.
    pub fingerprint: [u8; 32],
}

/// Which session a new run or operation is about.
#[derive(Clone, Debug)]
pub enum SessionTarget {
    /// An existing session of any kind, by name; refused when there is none.
    Existing(AuthSessionId),
    /// The session of this name, made if there is none (a create).
    CreateOrReplace {
        /// Its name.
        id: AuthSessionId,
        /// Its inner identity, should it be new.
        key_if_new: SessionKey,
    },
    /// A RUNTIME session of this name, made if there is none; refused when the name belongs to another kind.
    Runtime {
        /// Its name.
        id: AuthSessionId,
        /// Its inner identity, should it be new.
        key_if_new: SessionKey,
        /// Whether the session ends with the run, because the caller named none.
        is_ephemeral: bool,
    },
}

/// What both kinds of request share.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The new run's identity.
    pub id: RunId,
    /// What was asked for and how often it may be tried.
    pub plan: RunPlan,
    /// The session, when one is needed.
    pub session: Option<SessionTarget>,
    /// Input for a login: the parameters of a create or update, or the `runtimeInput` of a run. Kept sealed until the run
    /// ends.
    pub session_input: Option<Secret<Value>>,
    /// The proxy asked for: of the session for a create or update, of this run otherwise.
    pub proxy: Option<ProxyUrl>,
    /// Seconds for one attempt of `create` and `check`.
    pub session_timeout: TimeoutSeconds,
    /// Whether to keep traces of `create` and `check`.
    pub is_session_trace_wanted: bool,
    /// Set by the caller to make repeats harmless.
    pub idempotency: Option<Idempotency>,
}

/// A run of an API to be accepted.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// What runs and operations share.
    pub request: RunRequest,
    /// The API.
    pub api: ApiName,
    /// Its parameters.
    pub parameters: Secret<Value>,
    /// Seconds for one attempt of the API.
    pub timeout: TimeoutSeconds,
    /// Whether to keep traces of the API's attempts.
    pub is_trace_wanted: bool,
    /// Where the result is to be sent, as the caller wrote it; kept sealed. Deliveries are not made by this version.
    pub sink: Option<Secret<Value>>,
}

/// An operation on a session to be accepted.
#[derive(Clone, Debug)]
pub struct NewOperation {
    /// What runs and operations share. Its plan's kind says which operation it is.
    pub request: RunRequest,
    /// The handle.
    pub id: OperationId,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Stored and flushed: it will end in exactly one way.
    New {
        /// The run.
        run: RunId,
        /// The operation's handle, if it is one.
        operation: Option<OperationId>,
    },
    /// The same request came before under the same idempotency key; these are its ids.
    Repeated {
        /// The run.
        run: RunId,
        /// The operation's handle, if it is one.
        operation: Option<OperationId>,
    },
    /// The idempotency key was used for another request.
    KeyReused,
    /// There is no such session.
    NoSuchSession,
    /// The name belongs to a session whose input is stored, and the request brings its own.
    NotRuntime,
}

/// A run with everything the engine needs to go on with it.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Its identity.
    pub id: RunId,
    /// Its tenant.
    pub workspace: WorkspaceId,
    /// Its project.
    pub project: ProjectId,
    /// Its project's name.
    pub project_name: ProjectName,
    /// The deployment it was bound to when it was first taken.
    pub deployment: Option<DeploymentId>,
    /// What was asked for.
    pub plan: RunPlan,
    /// The API, when it is a run of one.
    pub api: Option<ApiName>,
    /// Its session.
    pub session: Option<SessionBinding>,
    /// The API's parameters.
    pub parameters: Option<Secret<Value>>,
    /// Input for a login; gone once the run has ended.
    pub session_input: Option<Secret<Value>>,
    /// The proxy asked for.
    pub proxy: Option<ProxyUrl>,
    /// Seconds for one attempt of the API.
    pub timeout: TimeoutSeconds,
    /// Seconds for one attempt of `create` and `check`.
    pub session_timeout: TimeoutSeconds,
    /// Whether to keep traces of the API's attempts.
    pub is_trace_wanted: bool,
    /// Whether to keep traces of `create` and `check`.
    pub is_session_trace_wanted: bool,
    /// Where it stands.
    pub state: RunState,
    /// The fence: writes that name another epoch change nothing.
    pub epoch: Epoch,
    /// A state captured by a login that has not passed its check yet.
    pub candidate: Option<Secret<Value>>,
    /// An attempt that was begun and never ended, because its worker was lost.
    pub open_attempt: Option<AttemptNumber>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// What a finished or unfinished run shows the world.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutput {
    /// Its identity.
    pub id: RunId,
    /// What it is a run of.
    pub kind: RunKind,
    /// The API, when it is a run of one.
    pub api: Option<ApiName>,
    /// Where it stands.
    pub state: RunState,
    /// The API's result, once completed.
    pub result: Option<Value>,
    /// What the API asked to be run next.
    pub payloads: Vec<ExtendedPayload>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was first taken.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// One transition, to be committed whole.
#[derive(Clone, Debug)]
pub struct RunCommit {
    /// The run.
    pub run: RunId,
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// The next state.
    pub state: RunState,
    /// What the transition asks for.
    pub effects: Vec<Effect>,
    /// The attempt that ended with it.
    pub attempt: Option<AttemptClose>,
    /// The captured state for [`Effect::KeepCandidate`].
    pub candidate: Option<Secret<Value>>,
    /// The result for [`Effect::KeepResult`].
    pub result: Option<Value>,
    /// The payloads for [`Effect::KeepResult`].
    pub payloads: Vec<ExtendedPayload>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Done.
    Committed,
    /// The run is not this claim's any more: canceled, or taken by another. Nothing was changed.
    Stale,
    /// The session was deleted, so nothing can be kept for it and it cannot be called ready
    /// ([`Effect::KeepCandidate`], [`Effect::AdoptCandidate`], [`Effect::MarkReady`]). Nothing was changed.
    SessionGone,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// These were taken; perhaps none.
    Runs(Vec<RunRecord>),
    /// The worker was given up and must begin a new life first. Nothing was taken.
    WorkerGone,
}

/// Acceptance, claims and transitions.
#[async_trait]
pub trait Runs {
    /// Accepts a run of an API.
    async fn accept_run(&self, workspace: &WorkspaceId, project: &ProjectId, new: NewRun) -> Result<Accepted, StoreError>;

    /// Accepts an operation with the run that performs it.
    async fn accept_operation(
        &self,
        workspace: &WorkspaceId,
        project: &ProjectId,
        new: NewOperation,
    ) -> Result<Accepted, StoreError>;

    /// What a run shows the world.
    async fn find_run(&self, project: &ProjectId, id: &RunId) -> Result<Option<RunOutput>, StoreError>;

    /// Takes up to `limit` runs that can go on now, oldest first within a project: not owned, first in the line for their
    /// session, within their project's concurrency, of a project whose labels the worker carries. Binds a run that is taken
    /// for the first time to the active deployment.
    async fn claim_runs(&self, worker: &WorkerId, limit: u32) -> Result<Claimed, StoreError>;

    /// Hands a run back without an attempt, as at shutdown.
    async fn release_run(&self, id: &RunId, epoch: Epoch) -> Result<(), StoreError>;

    /// The runs that the worker holds now, with the epochs of its claims. What a worker believes to hold and does not find
    /// here was canceled or given to another.
    async fn list_claims(&self, worker: &WorkerId) -> Result<Vec<(RunId, Epoch)>, StoreError>;

    /// Uses up an attempt, durably, before user code may start. Nothing when the claim does not hold any more.
    async fn begin_attempt(&self, id: &RunId, epoch: Epoch, stage: Stage) -> Result<Option<AttemptNumber>, StoreError>;

    /// Commits a transition.
    async fn commit_run(&self, commit: RunCommit) -> Result<CommitOutcome, StoreError>;

    /// Cancels a run of this project, finally: nothing of it starts after this returns. Returns its output, terminal before or
    /// now, or nothing if there is no such run.
    async fn cancel_run(&self, project: &ProjectId, id: &RunId, reason: RunReason) -> Result<Option<RunOutput>, StoreError>;

    /// Cancels the runs that another run has kept from their session for longer than their own timeout: one and the same
    /// claim has held the session that long since they were accepted. Time spent in a queue that moves, or waiting for the
    /// project's concurrency, does not count. Returns how many, at most `limit`;
    /// nothing when the lease is not held any more.
    async fn cancel_locked_out(&self, under: &Held, limit: u32) -> Result<Option<u64>, StoreError>;
}
