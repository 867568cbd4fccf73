//! Callers: they ask for logins and runs, repeat themselves when nobody answers, cancel, delete sessions, and deploy.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::{
    ApiName, Attempts, AuthSessionId, Budgets, DeploymentId, OperationId, ProjectName, RunId, RunKind, RunPlan, RunReason,
    Secret, SessionKey, TimeoutSeconds,
};
use keywright_store::*;
use serde_json::json;
use tokio::time::sleep;

use super::World;
use super::executor::REFUSED_ARCHIVE;
use super::link::Link;
use super::promises::{Asked, Told};

/// Between two things that are asked for, on average.
const PAUSE_S: f64 = 1.5;

/// The names of sessions in each project.
const SESSIONS: [&str; 2] = ["ada", "bob"];

/// A caller.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    world: Arc<World>,
    store: Arc<Link>,
}

/// What is asked for, so that it can be asked for again.
#[derive(Clone, Debug)]
struct Request {
    project: usize,
    kind: RunKind,
    session: Option<&'static str>,
    brings_input: bool,
    budget: u32,
    may_recreate: bool,
    timeout_s: i64,
    is_traced: bool,
    key: Option<String>,
    secret: u64,
}

impl Client {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), store: Arc::new(Link::of_caller(world)) }
    }

    /// Asks for one thing after the other, without waiting for what becomes of it, until the weather is calm.
    pub(crate) async fn ask_on(self, asks: u64) {
        for project in 0..self.world.projects.len() {
            self.clone().deploy(project, false).await;
        }
        let mut under_way = tokio::task::JoinSet::new();
        for number in 0..asks {
            sleep(self.world.dice.once_in(PAUSE_S)).await;
            let (client, dice) = (self.clone(), &self.world.dice);
            let project = usize::try_from(dice.number(0, self.world.projects.len() as u64)).unwrap();
            match dice.number(0, 100) {
                0..10 => under_way.spawn(client.cancel_something()),
                10..13 => under_way.spawn(client.delete_session(project)),
                13..16 => under_way.spawn(client.deploy(project, false)),
                16..20 => under_way.spawn(client.repeat(number)),
                _ => under_way.spawn(client.clone().insist(client.request(project, number))),
            };
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Uploads a version of every project that can be built.
    pub(crate) async fn deploy_well(self) {
        for project in 0..self.world.projects.len() {
            self.clone().deploy(project, true).await;
        }
    }

    fn request(&self, project: usize, number: u64) -> Request {
        let dice = &self.world.dice;
        let kinds = [RunKind::Create, RunKind::Update, RunKind::Validate, RunKind::Api, RunKind::Api, RunKind::Api];
        let kind = *dice.one_of(&kinds);
        let session = *dice.one_of(&SESSIONS);
        let needs_none = kind == RunKind::Api && dice.chance(0.25);
        let is_runtime = kind == RunKind::Api && dice.chance(0.15);
        Request {
            project,
            kind,
            session: (!needs_none).then_some(if is_runtime { "eve" } else { session }),
            brings_input: matches!(kind, RunKind::Create | RunKind::Update) || is_runtime && !needs_none,
            budget: u32::try_from(dice.number(1, 4)).unwrap(),
            may_recreate: dice.chance(0.7),
            timeout_s: i64::try_from(dice.number(20, 600)).unwrap(),
            is_traced: dice.chance(0.3),
            key: dice.chance(0.5).then(|| format!("key {number}")),
            secret: number,
        }
    }

    /// Asks until somebody answers; without a key to make repeats harmless, once.
    async fn insist(self, request: Request) {
        loop {
            let is_answered = self.ask(&request).await;
            if is_answered || request.key.is_none() {
                return;
            }
            sleep(self.world.dice.millis(200, 5_000)).await;
        }
    }

    /// Asks for something that was asked for before, under its key.
    async fn repeat(self, number: u64) {
        let known = self.world.promises.with(|known| {
            let mut keys: Vec<_> = known.keys.iter().map(|(key, run)| (key.clone(), run.clone())).collect();
            keys.sort();
            keys
        });
        if known.is_empty() {
            return;
        }
        let (key, run) = self.world.dice.one_of(&known).clone();
        let Some(asked) = self.world.promises.with(|known| known.asked.get(&run).cloned()) else { return };
        // Whatever is asked for under a key that was used: it is not done a second time.
        let request = Request { key: Some(key), ..self.request(asked.project, number) };
        self.ask(&request).await;
    }

    /// Asks once. Returns whether somebody answered.
    async fn ask(&self, request: &Request) -> bool {
        let (world, dice) = (&self.world, &self.world.dice);
        let id = RunId::from_entropy(dice.bytes());
        let project = &world.projects[request.project];
        world.promises.with(|known| {
            known.asked.insert(
                id.clone(),
                Asked { project: request.project, budget: request.budget, told: Told::Nothing, canceled_at: None, end: None },
            )
        });
        let new = self.run_request(request, &id);
        let outcome = match request.kind {
            RunKind::Api => {
                let new = NewRun {
                    request: new,
                    api: ApiName::parse("orders").unwrap(),
                    parameters: Secret::new(json!({"page": request.secret})),
                    timeout: TimeoutSeconds::new(request.timeout_s).unwrap(),
                    is_trace_wanted: request.is_traced,
                    sink: None,
                };
                self.store.accept_run(&world.workspace, &project.id, new).await
            }
            RunKind::Create | RunKind::Update | RunKind::Validate => {
                let new = NewOperation { request: new, id: OperationId::from_entropy(dice.bytes()) };
                self.store.accept_operation(&world.workspace, &project.id, new).await
            }
        };
        let told = |run: &RunId, told: Told| {
            world.promises.with(|known| {
                if let Some(asked) = known.asked.get_mut(run) {
                    asked.told = told;
                }
            });
        };
        match outcome {
            Ok(Accepted::New { run, operation }) => {
                told(&run, Told::Accepted);
                self.keyed(request, &run).await;
                self.operation_is_there(request, operation).await;
                true
            }
            Ok(Accepted::Repeated { run, operation }) => {
                told(&id, Told::Refused);
                told(&run, Told::Accepted);
                if request.key.is_none() {
                    world.broken(format!("I1: run {run} is answered to a request without a key"));
                }
                self.keyed(request, &run).await;
                self.operation_is_there(request, operation).await;
                true
            }
            Ok(Accepted::KeyReused | Accepted::NoSuchSession | Accepted::NotRuntime) | Err(StoreError::Unavailable(_)) => {
                told(&id, Told::Refused);
                outcome.is_ok()
            }
            Err(StoreError::Unknown(_)) => false,
            Err(error) => {
                world.broken(format!("a request is refused by the store: {error:?}"));
                true
            }
        }
    }

    /// One key, one run.
    async fn keyed(&self, request: &Request, run: &RunId) {
        let Some(key) = &request.key else { return };
        let before = self.world.promises.with(|known| known.keys.insert(key.clone(), run.clone()));
        if before.as_ref().is_some_and(|before| before != run) {
            self.world.broken(format!("I1: {key:?} stands for run {run} and for {before:?}"));
        }
    }

    /// An operation that was acknowledged can be asked for.
    async fn operation_is_there(&self, request: &Request, operation: Option<OperationId>) {
        let Some(operation) = operation else { return };
        let project = &self.world.projects[request.project].id;
        let found = self.world.at_once(self.world.store.find_operation(project, &operation));
        if !matches!(found, Ok(Some(_))) {
            self.world.broken(format!("I1: operation {operation} was acknowledged and is not there: {found:?}"));
        }
    }

    fn run_request(&self, request: &Request, id: &RunId) -> RunRequest {
        let attempts = Attempts::new(i64::from(request.budget)).unwrap();
        let key_if_new = SessionKey::from_entropy(self.world.dice.bytes());
        let session = request.session.map(|name| {
            let id = AuthSessionId::parse(name).unwrap();
            match request.kind {
                RunKind::Create => SessionTarget::CreateOrReplace { id, key_if_new },
                RunKind::Api if request.brings_input => SessionTarget::Runtime { id, key_if_new, is_ephemeral: false },
                RunKind::Api | RunKind::Update | RunKind::Validate => SessionTarget::Existing(id),
            }
        });
        RunRequest {
            id: id.clone(),
            plan: RunPlan {
                kind: request.kind,
                budgets: Budgets { create: attempts, check: attempts, api: attempts },
                may_recreate: request.may_recreate,
                needs_session: session.is_some(),
            },
            session,
            session_input: request.brings_input.then(|| Secret::new(json!({"password": request.secret}))),
            proxy: None,
            session_timeout: TimeoutSeconds::DEFAULT,
            is_session_trace_wanted: request.is_traced,
            idempotency: request.key.as_ref().map(|key| Idempotency {
                key: key.clone(),
                // A key that is used for something else is refused; see `repeat`.
                fingerprint: [u8::try_from(request.secret % 251).unwrap(); 32],
            }),
        }
    }

    async fn cancel_something(self) {
        let ids: Vec<_> = self.world.promises.with(|known| {
            let accepted = known.asked.iter().filter(|(_, asked)| asked.told == Told::Accepted);
            accepted.map(|(id, asked)| (id.clone(), asked.project)).collect()
        });
        if ids.is_empty() {
            return;
        }
        let (id, project) = self.world.dice.one_of(&ids).clone();
        let project = &self.world.projects[project].id;
        match self.store.cancel_run(project, &id, RunReason::UserAction).await {
            Ok(Some(output)) => {
                if let Err(what) = self.world.promises.shown(&output) {
                    self.world.broken(what);
                }
                if !output.state.is_terminal() {
                    self.world.broken(format!("I3: the cancellation of run {id} is acknowledged and it is {:?}", output.state));
                }
                self.world.promises.with(|known| {
                    if let Some(asked) = known.asked.get_mut(&id) {
                        asked.canceled_at.get_or_insert_with(tokio::time::Instant::now);
                    }
                });
            }
            Ok(None) => self.world.broken(format!("I1: run {id} was acknowledged and cannot be canceled: it is not there")),
            Err(_) => {}
        }
    }

    async fn delete_session(self, project: usize) {
        let name = *self.world.dice.one_of(&SESSIONS);
        let _ = self.store.delete_auth_session(&self.world.projects[project].id, name).await;
    }

    /// Uploads a version of a project.
    async fn deploy(self, project: usize, is_sound: bool) {
        let (world, dice) = (&self.world, &self.world.dice);
        let project = &world.projects[project];
        let labels = project.label.filter(|_| dice.chance(0.7)).map_or(String::new(), |label| format!("\"{label}\""));
        let settings = format!(
            r#"{{"authSessions": {{"enabled": true}}, "apiAccess": {{"enabled": {}}},
                "replication": {{"maxConcurrentRequests": {}, "workerLabels": [{labels}]}}}}"#,
            is_sound || !dice.chance(0.05),
            dice.number(1, 5),
        );
        let archive = if !is_sound && dice.chance(0.05) { REFUSED_ARCHIVE.to_owned() } else { settings };
        let id = DeploymentId::from_entropy(dice.bytes());
        let size_bytes = archive.len() as u64;
        world.blobs.put(&world.workspace, &BlobKey::archive(&id), archive.into()).await.unwrap();
        let new = NewDeployment {
            id,
            project_id_if_new: project.id.clone(),
            project: ProjectName::parse(&project.name).unwrap(),
            digest: "0".repeat(64),
            size_bytes,
        };
        // A project's first version must be there before anything is asked of it.
        loop {
            match self.store.accept_deployment(&world.workspace, new.clone()).await {
                Ok(_) => return,
                Err(StoreError::Unavailable(_)) => sleep(Duration::from_secs(1)).await,
                Err(_) => {
                    let found = world.at_once(world.store.find_deployment(&project.id, &new.id));
                    if matches!(found, Ok(Some(_))) {
                        return;
                    }
                }
            }
        }
    }
}
