//! A server in a box: the router over a real store in a folder of its own, a workspace with a key, and four projects.
//!
//! `shop` has logins, `plain` has none, `closed` switches access over the API off, `broken` has never been built.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use keywright_api::{AppState, Vitals};
use keywright_domain::{
    ApiName, DeploymentId, KeyId, Language, NodeId, Problem, ProjectId, ProjectName, ProxyUrl, Timestamp, WorkerId, WorkerLabels,
    WorkspaceId,
};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{
    Blobs, BuildEnd, BuiltDeployment, Clock, Deployments as _, Entropy, FileLinks, Keys as _, MasterKey, NewDeployment, NewKey,
    NewWorker, Projects as _, Supersedes, SystemEntropy, Vault, Workers as _,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::contract::{CONTRACT, OWN};

pub(crate) const KEY: &str = "kw_the-first-key-of-this-workspace";

/// A text that no answer may hold.
pub(crate) const CANARY: &str = "canary-Pässwort-7319";

pub(crate) struct World {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) blobs: Blobs,
    pub(crate) links: FileLinks,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) entropy: Arc<MoodyEntropy>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) vitals: Arc<Mood>,
    pub(crate) worker: WorkerId,
    pub(crate) router: Router,
    /// What a node that serves nobody answers.
    pub(crate) health_router: Router,
    _folder: tempfile::TempDir,
}

/// A clock that moves only when told to, and by a microsecond whenever it is looked at.
#[derive(Debug)]
pub(crate) struct StillClock(AtomicI64);

impl StillClock {
    pub(crate) fn pass_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now().as_micros()).unwrap())
    }
}

/// A process with the troubles that a test gives it.
#[derive(Debug, Default)]
pub(crate) struct Mood {
    pub(crate) troubles: Mutex<Vec<String>>,
}

impl Vitals for Mood {
    fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap().clone()
    }

    fn database(&self) -> &'static str {
        "sqlite"
    }

    fn report(&self) -> Map<String, Value> {
        Map::from_iter([("version".to_owned(), json!("1.2.3")), ("roles".to_owned(), json!(["api"]))])
    }
}

/// Real entropy that can be made to panic whenever it is asked for a key.
#[derive(Debug, Default)]
pub(crate) struct MoodyEntropy {
    pub(crate) panics_at_keys: AtomicBool,
}

impl Entropy for MoodyEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        assert!(!(buffer.len() == 32 && self.panics_at_keys.load(Ordering::SeqCst)), "entropy is gone, and {CANARY} with it");
        SystemEntropy.fill(buffer);
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_default_proxy(None).await
    }

    pub(crate) async fn with_default_proxy(default_proxy: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(StillClock(AtomicI64::new(1_700_000_000_000_000)));
        let entropy = Arc::new(MoodyEntropy::default());
        let vault = Vault::new(MasterKey::from_bytes([3; 32]), Arc::new(SystemEntropy));
        let database_clock = Arc::<StillClock>::clone(&clock);
        let path = folder.path().join("keywright.db");
        let store = Arc::new(SqliteStore::open(&path, vault.clone(), database_clock).await.unwrap());
        let blobs = Blobs::in_folder(&folder.path().join("blobs"), vault).unwrap();
        let links = FileLinks::new("http://127.0.0.1:1".to_owned(), [5; 32]);
        let vitals = Arc::new(Mood::default());
        let state = AppState {
            store: Arc::<SqliteStore>::clone(&store),
            blobs: blobs.clone(),
            clock: Arc::<StillClock>::clone(&clock),
            entropy: Arc::<MoodyEntropy>::clone(&entropy),
            links: links.clone(),
            default_proxy: default_proxy.map(|proxy| ProxyUrl::parse(proxy).unwrap()),
            vitals: Arc::<Mood>::clone(&vitals),
        };
        let (router, health_router) = (keywright_api::router(state.clone()), keywright_api::health_router(state));
        let workspace = WorkspaceId::from_entropy([7; 16]);
        let worker = WorkerId::from_entropy([9; 21]);
        let world =
            Self { store, blobs, links, clock, entropy, workspace, vitals, worker, router, health_router, _folder: folder };
        world.store.bootstrap(&world.workspace, world.new_key("first", KEY)).await.unwrap();
        world.register().await;
        world.deploy("shop", &json!({"authSessions": {"enabled": true, "type": "API"}})).await;
        world.deploy("plain", &json!({})).await;
        world.deploy("closed", &json!({"apiAccess": {"enabled": false}})).await;
        let broken = world.upload("broken").await;
        let problem = Problem { file: "api/a.ts".to_owned(), line: Some(3), message: "no".to_owned() };
        world.claim_build(&broken).await;
        assert_eq!(world.store.refuse_build(&world.worker, &broken, vec![problem]).await.unwrap(), BuildEnd::Stored);
        world
    }

    async fn register(&self) {
        let new = NewWorker {
            id: self.worker.clone(),
            node: NodeId::from_entropy([8; 21]),
            host: "here".to_owned(),
            labels: WorkerLabels::new(),
            capacity: 100,
            version: "1.2.3".to_owned(),
            supersedes: Supersedes::Everybody,
            ttl_ms: 3_600_000,
        };
        self.store.register_worker(new).await.unwrap();
    }

    async fn claim_build(&self, id: &DeploymentId) {
        let claimed = self.store.claim_build(&self.worker).await.unwrap();
        assert_eq!(claimed.map(|deployment| deployment.id).as_ref(), Some(id));
    }

    pub(crate) fn new_key(&self, name: &str, key: &str) -> NewKey {
        let id = KeyId::from_entropy((&SystemEntropy as &dyn Entropy).bytes());
        NewKey { id, name: name.to_owned(), hash: Sha256::digest(key.as_bytes()).into() }
    }

    async fn upload(&self, project: &str) -> DeploymentId {
        let entropy: &dyn Entropy = &SystemEntropy;
        let id = DeploymentId::from_entropy(entropy.bytes());
        let new = NewDeployment {
            id: id.clone(),
            project_id_if_new: ProjectId::from_entropy(entropy.bytes()),
            project: ProjectName::parse(project).unwrap(),
            digest: "ab".repeat(32),
            size_bytes: 10,
        };
        self.store.accept_deployment(&self.workspace, new).await.unwrap();
        id
    }

    /// Makes a project with these settings and the APIs `orders` and `orders/details`.
    pub(crate) async fn deploy(&self, project: &str, settings: &Value) -> DeploymentId {
        let id = self.upload(project).await;
        let built = BuiltDeployment {
            language: Language::Node,
            settings_file: "Intuned.json".to_owned(),
            settings_text: settings.to_string(),
            apis: vec![ApiName::parse("orders").unwrap(), ApiName::parse("orders/details").unwrap()],
            python: None,
            playwright_root: None,
            warnings: vec![Problem { file: "package.json".to_owned(), line: None, message: "a warning".to_owned() }],
        };
        self.claim_build(&id).await;
        assert_eq!(self.store.finish_build(&self.worker, &id, built).await.unwrap(), BuildEnd::Stored);
        id
    }

    pub(crate) async fn project_id(&self, name: &str) -> ProjectId {
        self.store.find_project(&self.workspace, name).await.unwrap().unwrap().id
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Ask<'_> {
        self.ask("DELETE", path)
    }

    /// A POST without a body.
    pub(crate) fn post(&self, path: &str) -> Ask<'_> {
        self.ask("POST", path)
    }

    /// A POST of JSON.
    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Ask<'_> {
        self.ask("POST", path).json(body)
    }

    /// A request with the workspace's key. A path below `/projects` or `/keys` is one of the workspace.
    pub(crate) fn ask(&self, method: &'static str, path: &str) -> Ask<'_> {
        let is_of_workspace = path.starts_with("/projects") || path.starts_with("/keys");
        let path = if is_of_workspace { format!("/api/v1/workspace/{}{path}", self.workspace) } else { path.to_owned() };
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", KEY.parse().unwrap());
        Ask { world: self, method, path, headers, body: Body::empty() }
    }

    /// Starts a create that is accepted, and returns the operation's handle.
    pub(crate) async fn start_create(&self, id: &str) -> String {
        let body = json!({"id": id, "parameters": {"password": CANARY}});
        let answer = self.post_json("/projects/shop/auth-sessions/create", &body).send().await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["operationId"].as_str().unwrap().to_owned()
    }

    /// Starts a run that is accepted, and returns its id.
    pub(crate) async fn start_run(&self, project: &str, body: &Value) -> String {
        let answer = self.post_json(&format!("/projects/{project}/run/start"), body).send().await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["runId"].as_str().unwrap().to_owned()
    }
}

/// A request to be sent.
pub(crate) struct Ask<'a> {
    world: &'a World,
    method: &'static str,
    path: String,
    headers: HeaderMap,
    body: Body,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// A second value of a header.
    pub(crate) fn also(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").bytes(body.to_string())
    }

    pub(crate) fn bytes(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and holds the answer against both documents.
    pub(crate) async fn send(self) -> Answer {
        let mut request = Request::builder().method(self.method).uri(&self.path).body(self.body).unwrap();
        *request.headers_mut() = self.headers;
        let response = self.world.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status, headers, body };
        let media_type = answer.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap());
        let (method, path) = (self.method.to_ascii_lowercase(), self.path.split('?').next().unwrap());
        CONTRACT.hold(&method, path, status.as_u16(), media_type, &answer.body);
        OWN.hold(&method, path, status.as_u16(), media_type, &answer.body);
        answer.hold_everywhere();
        answer
    }
}

/// An answer that was held against both documents.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["code"].as_str().unwrap().to_owned())
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }

    /// What holds of every answer.
    fn hold_everywhere(&self) {
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert!(self.headers.contains_key("content-security-policy"));
        assert!(!self.headers.contains_key("access-control-allow-origin"));
        assert!(!String::from_utf8_lossy(&self.body).contains(CANARY), "{self:?}");
        let id = self.header("x-correlation-id");
        assert_eq!(id.len(), 36);
        if !self.status.is_client_error() && !self.status.is_server_error() {
            return;
        }
        let body = self.json();
        let members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).filter(|key| *key != "details").collect();
        assert_eq!(members, ["code", "category", "message", "retirable", "correlationId"], "{self:?}");
        assert_eq!(body["correlationId"], id);
        assert_eq!(self.header("content-type"), "application/json");
    }
}
