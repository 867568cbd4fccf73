//! A data folder that outlives servers, the servers that open it one after the other, and the nodes that work on one of them
//! together.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use keywright_domain::{
    ApiName, AttemptNumber, Attempts, AuthSessionId, BrowserChoice, Budgets, DeploymentId, KeyId, Language, LeaseTerms, NodeId,
    OperationId, ProjectId, ProjectName, RetentionPolicy, RunId, RunKind, RunPlan, RunReason, RunState, Secret, SessionKey,
    SessionStatus, TimeoutSeconds, WorkerId, WorkerLabels, WorkspaceId,
};
use keywright_engine::{Engine, EngineParts, EngineRoles, EngineStatus, Identity};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{
    Accepted, AttemptRecord, Blobs, BuildEnd, BuiltDeployment, Entropy, FileLinks, MasterKey, NewDeployment, NewKey,
    NewOperation, NewRun, NewWorker, RunOutput, RunRequest, SessionTarget, Signals, Store, StoreError, Supersedes, SystemEntropy,
    Vault, WorkerRecord,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hooked::{Hook, Hooked};
use crate::script::{Scripted, ScriptedBuilder, Site};
use crate::time::{Skew, WorldTime};

/// Only a hang takes this long.
const DEADLINE: Duration = Duration::from_secs(60);

/// In virtual time, which passes without anybody waiting.
const VIRTUAL_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// Runs at once.
const CONCURRENCY: usize = 4;

/// What a build of the scripted builder finds out.
pub(crate) fn built(settings: &str) -> BuiltDeployment {
    BuiltDeployment {
        language: Language::Node,
        settings_file: "Intuned.json".to_owned(),
        settings_text: settings.to_owned(),
        apis: vec![ApiName::parse("orders").unwrap()],
        python: None,
        playwright_root: None,
        warnings: Vec::new(),
    }
}

/// The folder, the site, the time, and the ids of the one project.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) site: Site,
    pub(crate) time: Arc<WorldTime>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) project: ProjectId,
    next_id: AtomicU8,
}

impl World {
    /// A world in real time.
    pub(crate) fn new() -> Self {
        Self::with(WorldTime::new(false))
    }

    /// A world in the virtual time of the paused runtime that this is called in.
    pub(crate) fn paused() -> Self {
        Self::with(WorldTime::new(true))
    }

    fn with(time: WorldTime) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            site: Site::new(),
            time: Arc::new(time),
            workspace: WorkspaceId::from_entropy([1; 16]),
            project: ProjectId::from_entropy([1; 21]),
            next_id: AtomicU8::new(0),
        }
    }

    /// Opens the folder without an engine. The hook is on the way of the server's own engine.
    pub(crate) async fn open(&self, hook: Arc<Hook>) -> Server<'_> {
        let vault = Vault::new(MasterKey::from_bytes([7; 32]), Arc::new(SystemEntropy));
        let path = self.folder.path().join("keywright.db");
        let opened = SqliteStore::open(&path, vault.clone(), self.time.database_clock());
        let file = Arc::new(self.time.stand_still(opened).await.unwrap());
        let blobs = Blobs::in_folder(&self.folder.path().join("blobs"), vault).unwrap();
        let links = FileLinks::new("http://127.0.0.1:1".to_owned(), MasterKey::from_bytes([3; 32]));
        let store = self.way(&file, Hook::never());
        let key = NewKey { id: KeyId::from_entropy([1; 21]), name: "first".to_owned(), hash: [1; 32] };
        store.bootstrap(&self.workspace, key).await.unwrap();
        Server { world: self, store, blobs, links, file, hook, node: None }
    }

    /// Opens the folder, with the project deployed, and starts the engine.
    pub(crate) async fn start(&self) -> Server<'_> {
        let mut server = self.open(Hook::never()).await;
        server.deploy().await;
        server.begin().await;
        server
    }

    /// A way to the store.
    fn way(&self, file: &Arc<SqliteStore>, hook: Arc<Hook>) -> Arc<dyn Store> {
        let inner = Arc::clone(file) as Arc<dyn Store>;
        let signals = inner.signals().clone();
        Arc::new(Hooked { inner, hook, time: Arc::clone(&self.time), signals })
    }

    pub(crate) fn run_id(&self) -> RunId {
        RunId::from_entropy([self.next(); 21])
    }

    fn next(&self) -> u8 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits, but not for ever.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> T {
        let deadline = if self.time.is_virtual { VIRTUAL_DEADLINE } else { DEADLINE };
        tokio::time::timeout(deadline, work).await.expect("it hangs")
    }
}

/// One life of a server: the open store, and perhaps an engine that has it to itself.
pub(crate) struct Server<'w> {
    pub(crate) world: &'w World,
    /// The store as a test or a request reaches it, whatever is on the engine's way.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Blobs,
    pub(crate) links: FileLinks,
    file: Arc<SqliteStore>,
    hook: Arc<Hook>,
    node: Option<Node>,
}

/// An engine on the store.
pub(crate) struct Node {
    pub(crate) engine: Engine,
}

/// What a node is like.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) number: u8,
    pub(crate) roles: EngineRoles,
    pub(crate) concurrency: usize,
    pub(crate) supersedes: Supersedes,
    pub(crate) skew: Skew,
    /// How long its machine has been asleep.
    pub(crate) slept_s: Arc<AtomicU64>,
    /// Hears nothing of what is committed.
    pub(crate) is_deaf: bool,
    pub(crate) labels: WorkerLabels,
    pub(crate) retention: RetentionPolicy,
}

impl Post {
    /// One of several on a store.
    pub(crate) fn new(number: u8) -> Self {
        Self {
            number,
            roles: EngineRoles { is_worker: true, is_scheduler: true },
            concurrency: CONCURRENCY,
            supersedes: Supersedes::EarlierLivesOfNode,
            skew: 0,
            slept_s: Arc::default(),
            is_deaf: false,
            labels: BTreeSet::new(),
            retention: RetentionPolicy::default(),
        }
    }

    pub(crate) fn worker(number: u8) -> Self {
        Self { roles: EngineRoles { is_worker: true, is_scheduler: false }, ..Self::new(number) }
    }

    pub(crate) fn scheduler(number: u8) -> Self {
        Self { roles: EngineRoles { is_worker: false, is_scheduler: true }, ..Self::new(number) }
    }
}

impl Node {
    pub(crate) fn status(&self) -> EngineStatus {
        self.engine.status()
    }
}

pub(crate) fn node_id(number: u8) -> NodeId {
    NodeId::from_entropy([number; 21])
}

/// What is asked for; everything that tests vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) kind: RunKind,
    pub(crate) session: Option<&'static str>,
    pub(crate) attempts: i64,
    pub(crate) may_recreate: bool,
    pub(crate) is_trace_wanted: bool,
}

impl Ask {
    pub(crate) const fn new(kind: RunKind) -> Self {
        Self { kind, session: Some("ada"), attempts: 2, may_recreate: true, is_trace_wanted: false }
    }
}

impl Server<'_> {
    /// Starts the engine that has the store to itself.
    pub(crate) async fn begin(&mut self) {
        let post = Post { supersedes: Supersedes::Everybody, ..Post::new(0) };
        self.node = Some(self.join(post, Arc::clone(&self.hook)).await.unwrap());
    }

    /// Starts one of several engines.
    pub(crate) async fn join(&self, post: Post, hook: Arc<Hook>) -> Result<Node, StoreError> {
        let (world, site) = (self.world, self.world.site.clone());
        let inner = Arc::clone(&self.file) as Arc<dyn Store>;
        let signals = if post.is_deaf { Signals::default() } else { inner.signals().clone() };
        let engine = Engine::start(EngineParts {
            store: Arc::new(Hooked { inner, hook: Arc::clone(&hook), time: Arc::clone(&world.time), signals }),
            blobs: self.blobs.clone(),
            clock: Arc::new(world.time.node_clock(post.skew, &post.slept_s)),
            entropy: Arc::new(SystemEntropy),
            executor: Arc::new(Scripted { node: post.number, site: site.clone(), hook: Arc::clone(&hook) }),
            builder: Arc::new(ScriptedBuilder { node: post.number, site }),
            links: self.links.clone(),
            concurrency: post.concurrency,
            default_proxy: None,
            default_browser: BrowserChoice::HeadlessShell,
            roles: post.roles,
            identity: Identity {
                node: node_id(post.number),
                host: format!("host-{}", post.number),
                version: "test".to_owned(),
                supersedes: post.supersedes,
            },
            labels: post.labels,
            terms: LeaseTerms::default(),
            retention: post.retention,
        });
        Ok(Node { engine: engine.await? })
    }

    /// The server's own engine.
    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    /// Stops the engine.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        let node = self.node.take().unwrap();
        self.world.in_time(node.engine.stop(tokio::time::sleep(grace))).await;
    }

    /// The workers that there are and were.
    pub(crate) async fn workers(&self) -> Vec<WorkerRecord> {
        self.store.list_workers(100).await.unwrap()
    }

    /// Every promise that is broken in the store.
    pub(crate) async fn assert_sound(&self) {
        assert_eq!(self.store.audit(10).await.unwrap(), []);
    }

    /// Closes the folder and opens it again, with an engine, as the next life of the server.
    pub(crate) async fn restart(self) -> Self {
        self.file.close().await;
        let mut next = self.world.open(Hook::never()).await;
        next.begin().await;
        next
    }

    /// Uploads a deployment, to be built by the engine.
    pub(crate) async fn upload(&self, archive: &'static str) -> DeploymentId {
        let id = DeploymentId::from_entropy([self.world.next(); 21]);
        let key = keywright_store::BlobKey::archive(&id);
        self.blobs.put(&self.world.workspace, &key, archive.into()).await.unwrap();
        let new = NewDeployment {
            id: id.clone(),
            project_id_if_new: self.world.project.clone(),
            project: ProjectName::parse("shop").unwrap(),
            digest: "0".repeat(64),
            size_bytes: archive.len() as u64,
        };
        self.store.accept_deployment(&self.world.workspace, new).await.unwrap();
        id
    }

    /// Deploys the project, without an engine.
    pub(crate) async fn deploy(&self) -> DeploymentId {
        self.deploy_with(r#"{"authSessions": {"enabled": true}, "replication": {"maxConcurrentRequests": 100}}"#).await
    }

    /// Deploys the project with these settings.
    pub(crate) async fn deploy_with(&self, settings: &str) -> DeploymentId {
        let id = self.upload("{}").await;
        let worker = WorkerId::from_entropy(fresh());
        let new = NewWorker {
            id: worker.clone(),
            node: node_id(255),
            host: "somewhere else".to_owned(),
            labels: BTreeSet::new(),
            capacity: 0,
            version: "test".to_owned(),
            supersedes: Supersedes::EarlierLivesOfNode,
            ttl_ms: LeaseTerms::default().ttl_ms(),
        };
        self.store.register_worker(new).await.unwrap();
        let claimed = self.store.claim_build(&worker).await.unwrap();
        assert_eq!(claimed.map(|deployment| deployment.id), Some(id.clone()));
        assert_eq!(self.store.finish_build(&worker, &id, built(settings)).await.unwrap(), BuildEnd::Stored);
        self.store.retire_worker(&worker).await.unwrap();
        id
    }

    /// Accepts work, as a request would.
    pub(crate) async fn ask(&self, ask: Ask) -> RunId {
        let (world, attempts) = (self.world, Attempts::new(ask.attempts).unwrap());
        let id = world.run_id();
        let key_if_new = SessionKey::from_entropy(fresh());
        let session = ask.session.map(|name| {
            let id = AuthSessionId::parse(name).unwrap();
            match ask.kind {
                RunKind::Create => SessionTarget::CreateOrReplace { id, key_if_new },
                RunKind::Api | RunKind::Update | RunKind::Validate => SessionTarget::Existing(id),
            }
        });
        let request = RunRequest {
            id: id.clone(),
            plan: RunPlan {
                kind: ask.kind,
                budgets: Budgets { create: attempts, check: attempts, api: attempts },
                may_recreate: ask.may_recreate,
                needs_session: session.is_some(),
            },
            session,
            session_input: matches!(ask.kind, RunKind::Create | RunKind::Update)
                .then(|| Secret::new(json!({"password": format!("password of {id}")}))),
            proxy: None,
            session_timeout: TimeoutSeconds::DEFAULT,
            is_session_trace_wanted: ask.is_trace_wanted,
            idempotency: None,
        };
        let accepted = match ask.kind {
            RunKind::Api => {
                let new = NewRun {
                    request,
                    api: ApiName::parse("orders").unwrap(),
                    parameters: Secret::new(json!({"page": 1})),
                    timeout: TimeoutSeconds::DEFAULT,
                    is_trace_wanted: ask.is_trace_wanted,
                    sink: None,
                };
                self.store.accept_run(&world.workspace, &world.project, new).await.unwrap()
            }
            RunKind::Create | RunKind::Update | RunKind::Validate => {
                let new = NewOperation { request, id: OperationId::from_entropy([world.next(); 21]) };
                self.store.accept_operation(&world.workspace, &world.project, new).await.unwrap()
            }
        };
        assert!(matches!(accepted, Accepted::New { .. }), "{accepted:?}");
        id
    }

    /// Asks and waits for the end.
    pub(crate) async fn finish(&self, ask: Ask) -> (RunId, RunState) {
        let run = self.ask(ask).await;
        let state = self.ended(&run).await;
        (run, state)
    }

    /// Waits for the end of a run.
    pub(crate) async fn ended(&self, run: &RunId) -> RunState {
        self.until(run, |output| output.state.is_terminal()).await.state
    }

    /// Waits until a run looks like this.
    pub(crate) async fn until(&self, run: &RunId, is_so: impl Fn(&RunOutput) -> bool) -> RunOutput {
        let mut commits = self.store.signals().subscribe();
        self.world
            .in_time(async {
                loop {
                    commits.mark_unchanged();
                    let output = self.output(run).await;
                    if is_so(&output) {
                        return output;
                    }
                    commits.changed().await.unwrap();
                }
            })
            .await
    }

    /// Waits until the attempts of a run look like this.
    pub(crate) async fn until_attempts(&self, run: &RunId, is_so: impl Fn(&[AttemptRecord]) -> bool) -> Vec<AttemptRecord> {
        let mut commits = self.store.signals().subscribe();
        self.world
            .in_time(async {
                loop {
                    commits.mark_unchanged();
                    let attempts = self.attempts(run).await;
                    if is_so(&attempts) {
                        return attempts;
                    }
                    commits.changed().await.unwrap();
                }
            })
            .await
    }

    pub(crate) async fn output(&self, run: &RunId) -> RunOutput {
        self.store.find_run(&self.world.project, run).await.unwrap().unwrap()
    }

    pub(crate) async fn attempts(&self, run: &RunId) -> Vec<AttemptRecord> {
        let attempts = self.store.list_attempts(&self.world.project, run).await.unwrap().unwrap();
        let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
        let whole: Vec<_> = (1..=u32::try_from(numbers.len()).unwrap()).filter_map(AttemptNumber::new).collect();
        assert_eq!(numbers, whole, "attempts are numbered without gaps");
        attempts
    }

    pub(crate) async fn cancel(&self, run: &RunId) {
        self.store.cancel_run(&self.world.project, run, RunReason::UserAction).await.unwrap();
    }

    /// Status and generation of a session.
    pub(crate) async fn session(&self, name: &str) -> (SessionStatus, u64) {
        let session = self.store.find_auth_session(&self.world.project, name).await.unwrap().unwrap();
        (session.status, session.generation)
    }

    /// The state of a session, as the site numbered its logins.
    pub(crate) async fn login_of(&self, name: &str) -> Option<Value> {
        let session = self.store.find_auth_session(&self.world.project, name).await.unwrap().unwrap();
        let secrets = self.store.session_secrets(&session.key).await.unwrap().unwrap();
        secrets.state.map(|state| state.reveal()["login"].clone())
    }
}

/// Bytes of ids that no test names.
fn fresh<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    SystemEntropy.fill(&mut buffer);
    buffer
}

/// Waits, but not for ever, in real time.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it hangs")
}
