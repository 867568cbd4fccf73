//! A store with a workspace in it, a clock that moves by itself, ids that never repeat, and a worker that drives runs
//! through the domain's own state machine.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keywright_domain::{
    ApiName, AttemptCode, AttemptEnd, AttemptFailure, Attempts, AuthSessionId, Budgets, DeploymentId, Effect, FileId, KeyId,
    Language, NodeId, OperationId, ProjectId, ProjectName, ProxyUrl, RunEvent, RunId, RunKind, RunPlan, Secret, SessionKey,
    SessionStanding, Stage, TimeoutSeconds, Timestamp, Transition, WorkerId, WorkerLabel, WorkerLabels, WorkspaceId,
};
use keywright_store::{
    Accepted, AttemptClose, AttemptOutcome, AttemptRecord, BlobKey, BuildEnd, BuiltDeployment, Claimed, Clock, CommitOutcome,
    Held, LeaseName, NewDeployment, NewKey, NewOperation, NewRun, NewWorker, Rescued, RunCommit, RunRecord, RunRequest,
    SessionTarget, Store, StoredBlob, StoredFile, Supersedes,
};
use serde_json::{Value, json};

/// How long leases last, milliseconds.
pub(crate) const TTL_MS: u32 = 30_000;

/// A clock for a database: later than ever before whenever it is looked at, and moved by the test.
#[derive(Debug)]
pub(crate) struct BenchClock {
    micros: AtomicU64,
}

impl Default for BenchClock {
    fn default() -> Self {
        Self { micros: AtomicU64::new(1_700_000_000_000_000) }
    }
}

impl BenchClock {
    fn tick(&self) -> u64 {
        self.micros.fetch_add(1, Ordering::SeqCst)
    }
}

impl Clock for BenchClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.tick()).unwrap())
    }

    fn uptime(&self) -> Duration {
        Duration::from_micros(self.tick())
    }
}

/// A way into the database past the store, which looks neither at what rows name nor at what they may hold, as far as that
/// can be switched off.
#[async_trait]
pub(crate) trait Raw: Send + Sync {
    async fn execute(&self, statement: &str);
}

pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) workspace: WorkspaceId,
    clock: Arc<BenchClock>,
    raw: Box<dyn Raw>,
    is_damaged: AtomicBool,
    worker: Mutex<WorkerId>,
    next_id: AtomicU64,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Bench {
    /// A bench on an empty store that goes by `clock`; `keep` lives as long as the bench.
    pub(crate) async fn new(
        store: Arc<dyn Store>,
        clock: Arc<BenchClock>,
        raw: impl Raw + 'static,
        keep: impl Any + Send + Sync,
    ) -> Self {
        let bench = Self {
            store,
            workspace: WorkspaceId::from_entropy([7; 16]),
            clock,
            raw: Box::new(raw),
            is_damaged: AtomicBool::new(false),
            worker: Mutex::new(WorkerId::from_entropy([9; 21])),
            next_id: AtomicU64::new(1),
            _keep: Box::new(keep),
        };
        bench.store.bootstrap(&bench.workspace, bench.key("first", [1; 32])).await.unwrap();
        bench.next_life().await;
        bench
    }

    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.clock.micros.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// Plants a damage; the store need not be sound afterwards.
    pub(crate) async fn damage(&self, statement: &str) {
        self.is_damaged.store(true, Ordering::SeqCst);
        self.raw.execute(statement).await;
    }

    /// Whatever was done through the store, its promises hold.
    pub(crate) async fn expect_sound(&self) {
        if !self.is_damaged.load(Ordering::SeqCst) {
            assert_eq!(self.store.audit(10).await.unwrap(), []);
        }
    }

    /// The worker that takes and builds what the bench has taken and built.
    pub(crate) fn worker(&self) -> WorkerId {
        self.worker.lock().unwrap().clone()
    }

    /// A worker on a node of its own, with room for a hundred runs and without labels.
    pub(crate) fn new_worker(&self) -> NewWorker {
        NewWorker {
            id: WorkerId::from_entropy(self.entropy()),
            node: NodeId::from_entropy(self.entropy()),
            host: "machine".to_owned(),
            labels: WorkerLabels::new(),
            capacity: 100,
            version: "1.2.3".to_owned(),
            supersedes: Supersedes::EarlierLivesOfNode,
            ttl_ms: TTL_MS,
        }
    }

    pub(crate) async fn join(&self, new: NewWorker) -> WorkerId {
        let id = new.id.clone();
        self.store.register_worker(new).await.unwrap();
        id
    }

    /// Begins another life of the bench's worker, as a server does that has its database for itself.
    pub(crate) async fn next_life(&self) -> Rescued {
        let new = NewWorker { supersedes: Supersedes::Everybody, ..self.new_worker() };
        *self.worker.lock().unwrap() = new.id.clone();
        self.store.register_worker(new).await.unwrap()
    }

    /// Has the worker sit on the scheduler's seat.
    pub(crate) async fn seat(&self) -> Held {
        self.store.acquire_lease(LeaseName::Scheduler, &self.worker(), TTL_MS).await.unwrap().unwrap()
    }

    /// Whether the worker holds the run under this epoch.
    pub(crate) async fn holds(&self, record: &RunRecord) -> bool {
        self.store.list_claims(&self.worker()).await.unwrap().contains(&(record.id.clone(), record.epoch))
    }

    pub(crate) async fn attempts(&self, record: &RunRecord) -> Vec<AttemptRecord> {
        self.store.list_attempts(&record.project, &record.id).await.unwrap().unwrap()
    }

    /// Bytes that make another id every time.
    pub(crate) fn entropy<const N: usize>(&self) -> [u8; N] {
        let number = self.next_id.fetch_add(1, Ordering::SeqCst);
        std::array::from_fn(|at| if at < 10 { u8::try_from((number >> (6 * at)) & 63).unwrap() } else { 5 })
    }

    pub(crate) fn key(&self, name: &str, hash: [u8; 32]) -> NewKey {
        NewKey { id: KeyId::from_entropy(self.entropy()), name: name.to_owned(), hash }
    }

    pub(crate) fn upload(&self, project: &str) -> NewDeployment {
        NewDeployment {
            id: DeploymentId::from_entropy(self.entropy()),
            project_id_if_new: ProjectId::from_entropy(self.entropy()),
            project: ProjectName::parse(project).unwrap(),
            digest: "ab".repeat(32),
            size_bytes: 1_234,
        }
    }

    /// A project with an active deployment that lets `max_concurrent` runs be under way.
    pub(crate) async fn project(&self, name: &str, max_concurrent: u32) -> ProjectId {
        self.deploy(name, built(&json!({ "replication": { "maxConcurrentRequests": max_concurrent } }))).await.1
    }

    pub(crate) async fn deploy(&self, name: &str, built: BuiltDeployment) -> (DeploymentId, ProjectId) {
        let accepted = self.store.accept_deployment(&self.workspace, self.upload(name)).await.unwrap();
        self.finish_build(&accepted.id, built).await;
        (accepted.id, accepted.project)
    }

    /// Has a deployment built well, whatever else waits for a build.
    pub(crate) async fn finish_build(&self, id: &DeploymentId, built: BuiltDeployment) {
        let builder = self.builder_of(id).await;
        assert_eq!(self.store.finish_build(&builder, id, built).await.unwrap(), BuildEnd::Stored);
    }

    /// A worker that has taken this deployment, and nothing older, to be built.
    pub(crate) async fn builder_of(&self, id: &DeploymentId) -> WorkerId {
        let mut others = Vec::new();
        let mut worker = self.worker();
        let builder = loop {
            let taken = self.store.claim_build(&worker).await.unwrap().expect("it waits for a build");
            if taken.id == *id {
                break worker;
            }
            others.push((worker, taken.id));
            worker = self.join(self.new_worker()).await;
        };
        for (worker, id) in others {
            self.store.release_build(&worker, &id).await.unwrap();
        }
        builder
    }

    pub(crate) fn blob(&self, size_bytes: u64) -> StoredBlob {
        let number = self.next_id.fetch_add(1, Ordering::SeqCst);
        StoredBlob { key: BlobKey::parse(&format!("blob-{number}")).unwrap(), size_bytes }
    }

    pub(crate) fn file(&self, project: &ProjectId, blob: StoredBlob) -> StoredFile {
        StoredFile {
            id: FileId::from_entropy(self.entropy()),
            workspace: self.workspace.clone(),
            project: project.clone(),
            name: "rechnung größe.pdf".to_owned(),
            content_type: None,
            size_bytes: blob.size_bytes,
            blob: blob.key,
            created_at: Timestamp::from_micros(0),
        }
    }

    pub(crate) fn request(&self, kind: RunKind, session: Option<SessionTarget>) -> RunRequest {
        let three = Attempts::new(3).unwrap();
        RunRequest {
            id: RunId::from_entropy(self.entropy()),
            plan: RunPlan {
                kind,
                budgets: Budgets { create: three, check: three, api: three },
                may_recreate: true,
                needs_session: session.is_some(),
            },
            session,
            session_input: None,
            proxy: None,
            session_timeout: TimeoutSeconds::new(60).unwrap(),
            is_session_trace_wanted: false,
            idempotency: None,
        }
    }

    pub(crate) fn api_run(&self, session: Option<SessionTarget>) -> NewRun {
        NewRun {
            request: self.request(RunKind::Api, session),
            api: ApiName::parse("orders").unwrap(),
            parameters: Secret::new(json!({ "page": 1 })),
            timeout: TimeoutSeconds::new(60).unwrap(),
            is_trace_wanted: false,
            sink: None,
        }
    }

    pub(crate) fn operation(&self, kind: RunKind, session: SessionTarget, input: Option<Value>) -> NewOperation {
        let mut request = self.request(kind, Some(session));
        request.session_input = input.map(Secret::new);
        NewOperation { request, id: OperationId::from_entropy(self.entropy()) }
    }

    pub(crate) fn create(&self, name: &str, input: Value) -> NewOperation {
        let target =
            SessionTarget::CreateOrReplace { id: session_id(name), key_if_new: SessionKey::from_entropy(self.entropy()) };
        self.operation(RunKind::Create, target, Some(input))
    }

    pub(crate) fn update(&self, name: &str, input: Value) -> NewOperation {
        self.operation(RunKind::Update, existing(name), Some(input))
    }

    pub(crate) fn validate(&self, name: &str) -> NewOperation {
        self.operation(RunKind::Validate, existing(name), None)
    }

    /// A run of an API that brings the input for its session.
    pub(crate) fn runtime_run(&self, name: &str, is_ephemeral: bool, input: Value) -> NewRun {
        let key_if_new = SessionKey::from_entropy(self.entropy());
        let mut new = self.api_run(Some(SessionTarget::Runtime { id: session_id(name), key_if_new, is_ephemeral }));
        new.request.session_input = Some(Secret::new(input));
        new
    }

    pub(crate) async fn accept_run(&self, project: &ProjectId, new: NewRun) -> RunId {
        match self.store.accept_run(&self.workspace, project, new).await.unwrap() {
            Accepted::New { run, operation: None } => run,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub(crate) async fn accept_operation(&self, project: &ProjectId, new: NewOperation) -> (RunId, OperationId) {
        match self.store.accept_operation(&self.workspace, project, new).await.unwrap() {
            Accepted::New { run, operation: Some(operation) } => (run, operation),
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// Takes all that can go on.
    pub(crate) async fn claim(&self) -> Vec<RunRecord> {
        self.claim_by(&self.worker(), 100).await
    }

    pub(crate) async fn claim_by(&self, worker: &WorkerId, limit: u32) -> Vec<RunRecord> {
        match self.store.claim_runs(worker, limit).await.unwrap() {
            Claimed::Runs(runs) => runs,
            Claimed::WorkerGone => panic!("the worker is alive"),
        }
    }

    /// Takes the only run that can go on.
    pub(crate) async fn claim_one(&self) -> RunRecord {
        let mut taken = self.claim().await;
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0)
    }

    pub(crate) async fn claimed_ids(&self) -> Vec<RunId> {
        self.claim().await.into_iter().map(|record| record.id).collect()
    }

    /// Takes the only run that can go on and begins it.
    pub(crate) async fn take(&self) -> RunRecord {
        let record = self.claim_one().await;
        self.begin(record).await
    }

    pub(crate) async fn begin(&self, record: RunRecord) -> RunRecord {
        let standing = match &record.session {
            None => SessionStanding::WithoutState,
            Some(session) => match self.store.session_secrets(&session.key).await.unwrap() {
                None => SessionStanding::Missing,
                Some(secrets) if secrets.state.is_some() => SessionStanding::WithState,
                Some(_) => SessionStanding::WithoutState,
            },
        };
        let transition = record.state.clone().on(&record.plan, RunEvent::Begin(standing)).unwrap();
        self.committed(record, transition, None, None).await
    }

    /// Begins an attempt of the API that is under way until somebody ends it.
    pub(crate) async fn open_attempt(&self, record: &RunRecord) -> keywright_domain::AttemptNumber {
        self.store.begin_attempt(&record.id, record.epoch, Stage::Api).await.unwrap().unwrap()
    }

    /// Makes one attempt that ends so.
    pub(crate) async fn attempt(&self, record: RunRecord, end: AttemptEnd) -> RunRecord {
        let (transition, close) = self.attempted(&record, &end).await;
        self.committed(record, transition, Some(close), Some(end)).await
    }

    /// Begins an attempt and works out what its end leads to, without committing that.
    pub(crate) async fn attempted(&self, record: &RunRecord, end: &AttemptEnd) -> (Transition, AttemptClose) {
        let keywright_domain::RunState::Started(progress) = &record.state else { panic!("not started: {:?}", record.state) };
        let number = self.store.begin_attempt(&record.id, record.epoch, progress.stage).await.unwrap().unwrap();
        let outcome = match end {
            AttemptEnd::Failed(failure) => AttemptOutcome::Failed(failure.clone()),
            AttemptEnd::Aborted => AttemptOutcome::Aborted,
            AttemptEnd::Returned { .. } | AttemptEnd::Captured { .. } | AttemptEnd::CheckPassed => AttemptOutcome::Succeeded,
        };
        let close = AttemptClose { number, outcome, log: Some(self.blob(10)), is_trace_pending: false };
        (record.state.clone().on(&record.plan, RunEvent::AttemptEnded(end)).unwrap(), close)
    }

    async fn committed(
        &self,
        mut record: RunRecord,
        transition: Transition,
        close: Option<AttemptClose>,
        end: Option<AttemptEnd>,
    ) -> RunRecord {
        let commit = self.commit(&record, transition, close, end);
        record.state = commit.state.clone();
        assert_eq!(self.store.commit_run(commit).await.unwrap(), CommitOutcome::Committed);
        record
    }

    pub(crate) fn commit(
        &self,
        record: &RunRecord,
        transition: Transition,
        attempt: Option<AttemptClose>,
        end: Option<AttemptEnd>,
    ) -> RunCommit {
        let (candidate, result, payloads) = match end {
            Some(AttemptEnd::Captured { state }) => (Some(state), None, Vec::new()),
            Some(AttemptEnd::Returned { result, payloads }) => (None, Some(result), payloads),
            Some(AttemptEnd::CheckPassed | AttemptEnd::Failed(_) | AttemptEnd::Aborted) | None => (None, None, Vec::new()),
        };
        let Transition { state, effects } = transition;
        assert_eq!(effects.contains(&Effect::KeepCandidate), candidate.is_some());
        RunCommit { run: record.id.clone(), epoch: record.epoch, state, effects, attempt, candidate, result, payloads }
    }

    /// Takes a create or update, logs in and checks.
    pub(crate) async fn log_in(&self, state: Value) -> RunRecord {
        let record = self.take().await;
        let record = self.attempt(record, captured(state)).await;
        self.attempt(record, AttemptEnd::CheckPassed).await
    }

    /// A session that is READY, made from `input`.
    pub(crate) async fn ready_session(&self, project: &ProjectId, name: &str, input: Value, state: Value) {
        self.accept_operation(project, self.create(name, input)).await;
        self.log_in(state).await;
    }
}

pub(crate) fn built(settings: &Value) -> BuiltDeployment {
    BuiltDeployment {
        language: Language::Node,
        settings_file: "Intuned.json".to_owned(),
        settings_text: settings.to_string(),
        apis: vec![ApiName::parse("orders").unwrap(), ApiName::parse("orders/details").unwrap()],
        python: None,
        playwright_root: Some(".keywright/pw".to_owned()),
        warnings: Vec::new(),
    }
}

pub(crate) fn labels(texts: &[&str]) -> WorkerLabels {
    texts.iter().map(|text| WorkerLabel::parse(text).unwrap()).collect()
}

pub(crate) fn session_id(name: &str) -> AuthSessionId {
    AuthSessionId::parse(name).unwrap()
}

pub(crate) fn existing(name: &str) -> SessionTarget {
    SessionTarget::Existing(session_id(name))
}

pub(crate) fn proxy(text: &str) -> ProxyUrl {
    ProxyUrl::parse(text).unwrap()
}

pub(crate) fn captured(state: Value) -> AttemptEnd {
    AttemptEnd::Captured { state: Secret::new(state) }
}

pub(crate) fn returned(result: Value) -> AttemptEnd {
    AttemptEnd::Returned { result, payloads: Vec::new() }
}

pub(crate) fn failed(code: AttemptCode) -> AttemptEnd {
    AttemptEnd::Failed(failure(code))
}

pub(crate) fn failure(code: AttemptCode) -> AttemptFailure {
    AttemptFailure { code, message: "the page said no".to_owned(), is_retryable: true, is_counted: true }
}
