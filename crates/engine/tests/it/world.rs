//! A data folder that outlives servers, and the servers that open it one after the other.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use keywright_domain::{
    ApiName, AttemptNumber, Attempts, AuthSessionId, BrowserChoice, Budgets, DeploymentId, KeyId, Language, OperationId,
    ProjectId, ProjectName, RunId, RunKind, RunPlan, RunReason, RunState, Secret, SessionKey, SessionStatus, TimeoutSeconds,
    WorkspaceId,
};
use keywright_engine::{Engine, EngineParts};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{
    Accepted, AttemptRecord, Blobs, BuiltDeployment, Clock, Entropy, FileLinks, MasterKey, NewDeployment, NewKey, NewOperation,
    NewRun, RunOutput, RunRequest, SessionTarget, Store, SystemClock, SystemEntropy, Vault,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hooked::{Hook, Hooked};
use crate::script::{Scripted, ScriptedBuilder, Site};

/// Only a hang takes this long.
const DEADLINE: Duration = Duration::from_secs(60);

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

/// The folder, the site, and the ids of the one project.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) site: Site,
    pub(crate) workspace: WorkspaceId,
    pub(crate) project: ProjectId,
    next_id: AtomicU8,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            site: Site::new(),
            workspace: WorkspaceId::from_entropy([1; 16]),
            project: ProjectId::from_entropy([1; 21]),
            next_id: AtomicU8::new(0),
        }
    }

    /// Opens the folder without an engine.
    pub(crate) async fn open(&self, hook: Arc<Hook>) -> Server<'_> {
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let vault = Vault::new(MasterKey::from_bytes([7; 32]), entropy);
        let store = SqliteStore::open(&self.folder.path().join("keywright.db"), vault.clone()).await.unwrap();
        let file = Arc::new(store);
        let inner: Arc<dyn Store> = Arc::clone(&file) as Arc<dyn Store>;
        let key = NewKey { id: KeyId::from_entropy([1; 21]), name: "first".to_owned(), hash: [1; 32] };
        inner.bootstrap(&self.workspace, key, clock.now()).await.unwrap();
        let blobs = Blobs::in_folder(&self.folder.path().join("blobs"), vault).unwrap();
        let store: Arc<dyn Store> = Arc::new(Hooked { inner, hook: Arc::clone(&hook) });
        let links = FileLinks::new("http://127.0.0.1:1".to_owned(), [3; 32]);
        Server { world: self, store, blobs, links, file, hook, engine: None }
    }

    /// Opens the folder, with the project deployed, and starts the engine.
    pub(crate) async fn start(&self) -> Server<'_> {
        let mut server = self.open(Hook::never()).await;
        server.deploy().await;
        server.begin().await;
        server
    }

    pub(crate) fn run_id(&self) -> RunId {
        RunId::from_entropy([self.next(); 21])
    }

    fn next(&self) -> u8 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// One life of a server.
pub(crate) struct Server<'w> {
    pub(crate) world: &'w World,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Blobs,
    pub(crate) links: FileLinks,
    file: Arc<SqliteStore>,
    hook: Arc<Hook>,
    engine: Option<Engine>,
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
    /// Starts the engine.
    pub(crate) async fn begin(&mut self) {
        let executor = Scripted { site: self.world.site.clone(), hook: Arc::clone(&self.hook) };
        let engine = Engine::start(EngineParts {
            store: Arc::clone(&self.store),
            blobs: self.blobs.clone(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            executor: Arc::new(executor),
            builder: Arc::new(ScriptedBuilder),
            links: self.links.clone(),
            concurrency: CONCURRENCY,
            default_proxy: None,
            default_browser: BrowserChoice::HeadlessShell,
        });
        self.engine = Some(engine.await.unwrap());
    }

    /// Stops the engine.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        in_time(self.engine.take().unwrap().stop(tokio::time::sleep(grace))).await;
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
        self.store.accept_deployment(&self.world.workspace, new, SystemClock.now()).await.unwrap();
        id
    }

    /// Deploys the project, without the engine.
    pub(crate) async fn deploy(&self) -> DeploymentId {
        let settings = r#"{"authSessions": {"enabled": true}, "replication": {"maxConcurrentRequests": 100}}"#;
        let id = self.upload("as built").await;
        self.store.finish_build(&id, built(settings), SystemClock.now()).await.unwrap();
        id
    }

    /// Accepts work, as a request would.
    pub(crate) async fn ask(&self, ask: Ask) -> RunId {
        let (world, attempts) = (self.world, Attempts::new(ask.attempts).unwrap());
        let id = world.run_id();
        let key_if_new = SessionKey::from_entropy(SystemEntropyBytes::bytes());
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
        let now = SystemClock.now();
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
                self.store.accept_run(&world.workspace, &world.project, new, now).await.unwrap()
            }
            RunKind::Create | RunKind::Update | RunKind::Validate => {
                let new = NewOperation { request, id: OperationId::from_entropy([world.next(); 21]) };
                self.store.accept_operation(&world.workspace, &world.project, new, now).await.unwrap()
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
        in_time(async {
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
        in_time(async {
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
        self.store.cancel_run(&self.world.project, run, RunReason::UserAction, SystemClock.now()).await.unwrap();
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

/// Fresh ids of sessions.
struct SystemEntropyBytes;

impl SystemEntropyBytes {
    fn bytes<const N: usize>() -> [u8; N] {
        let mut buffer = [0; N];
        SystemEntropy.fill(&mut buffer);
        buffer
    }
}

/// Waits, but not for ever.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it hangs")
}
