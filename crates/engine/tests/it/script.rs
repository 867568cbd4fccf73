//! An executor that does as it is told, and remembers what it was asked for. It stands for the browser and the site.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{
    AttemptCode, AttemptEnd, AttemptFailure, AttemptOrder, BrowserChoice, DeploymentId, Problem, RunId, Secret, SessionKey, Stage,
};
use keywright_engine::{AttemptReport, BuildOutcome, Builder, Executor, PendingTrace, UserCalls};
use keywright_store::Deployment;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::hooked::Hook;

/// What an attempt does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// What its stage is for.
    Succeed,
    /// Waits until this fires, and then succeeds.
    After(Arc<Notify>),
    /// Ends like this.
    End(AttemptEnd),
    /// Waits to be told to end, and then is aborted.
    Hang,
    /// Waits to be told to end, and then takes until this fires.
    Linger(Arc<Notify>),
    /// Waits to be told to end, before user code began.
    HangBeforeUserCode,
    /// Breaks.
    Panic,
    /// Stores a file under this name, returns what it was told of it.
    StoreFile(&'static str),
}

pub(crate) fn failure(code: AttemptCode) -> Act {
    Act::End(AttemptEnd::Failed(AttemptFailure {
        code,
        message: "as the script says".to_owned(),
        is_retryable: true,
        is_counted: code != AttemptCode::InternalServerError,
    }))
}

pub(crate) fn throws() -> Act {
    failure(AttemptCode::ScriptExecutionException)
}

pub(crate) fn check_fails() -> Act {
    failure(AttemptCode::AuthCheckFailed)
}

/// One attempt as the site saw it.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) node: u8,
    pub(crate) run: RunId,
    pub(crate) stage: Stage,
    pub(crate) parameters: Option<Value>,
    pub(crate) state: Option<Value>,
    pub(crate) deployment: DeploymentId,
    pub(crate) has_passed: bool,
}

type Chooser = Box<dyn FnMut(u8, &AttemptOrder) -> Act + Send>;

#[derive(Default)]
struct Record {
    visits: Vec<Visit>,
    script: HashMap<Stage, VecDeque<Act>>,
    chooser: Option<Chooser>,
    logins: u32,
    in_flight: HashMap<SessionKey, u32>,
    most_in_flight: u32,
    warmed: Vec<DeploymentId>,
    ended: u32,
    folders: HashSet<(u8, DeploymentId)>,
    builds: Vec<(u8, DeploymentId)>,
    broken_builds: HashMap<u8, u32>,
    trace: Option<Result<&'static str, &'static str>>,
    discarded: u32,
}

/// The site; it outlives every server.
#[derive(Clone)]
pub(crate) struct Site {
    record: Arc<Mutex<Record>>,
    changes: Arc<watch::Sender<u64>>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Site")
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { record: Arc::default(), changes: Arc::new(watch::Sender::new(0)) }
    }

    /// What the next attempts of a stage do; afterwards they succeed.
    pub(crate) fn script(&self, stage: Stage, acts: impl IntoIterator<Item = Act>) {
        self.with(|record| record.script.entry(stage).or_default().extend(acts));
    }

    /// Who decides what attempts do.
    pub(crate) fn choose(&self, mut chooser: impl FnMut(&AttemptOrder) -> Act + Send + 'static) {
        self.choose_on(move |_, order| chooser(order));
    }

    /// The same, by the node on which they are.
    pub(crate) fn choose_on(&self, chooser: impl FnMut(u8, &AttemptOrder) -> Act + Send + 'static) {
        self.with(|record| record.chooser = Some(Box::new(chooser)));
    }

    /// What cleaning a trace gives; traces are made from now on.
    pub(crate) fn trace(&self, outcome: Result<&'static str, &'static str>) {
        self.with(|record| record.trace = Some(outcome));
    }

    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.look(|record| record.visits.clone())
    }

    /// The stages in which a run's user code began, in order.
    pub(crate) fn stages(&self, run: &RunId) -> Vec<Stage> {
        self.visits().into_iter().filter(|visit| visit.run == *run).map(|visit| visit.stage).collect()
    }

    pub(crate) fn count(&self, stage: Stage) -> usize {
        self.visits().iter().filter(|visit| visit.stage == stage).count()
    }

    /// Most attempts that held one session at once.
    pub(crate) fn most_in_flight(&self) -> u32 {
        self.look(|record| record.most_in_flight)
    }

    pub(crate) fn warmed(&self) -> Vec<DeploymentId> {
        self.look(|record| record.warmed.clone())
    }

    /// How many attempts have ended, whoever was there to be told.
    pub(crate) fn ended(&self) -> u32 {
        self.look(|record| record.ended)
    }

    /// Makes the next builds on a node fail by a fault of the machine.
    pub(crate) fn break_builds(&self, node: u8, count: u32) {
        self.with(|record| record.broken_builds.insert(node, count));
    }

    /// How often a node has built a deployment.
    pub(crate) fn builds(&self, node: u8, id: &DeploymentId) -> usize {
        self.look(|record| record.builds.iter().filter(|(builder, built)| (*builder, built) == (node, id)).count())
    }

    pub(crate) fn discarded(&self) -> u32 {
        self.look(|record| record.discarded)
    }

    /// Waits until the site has seen something.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        while !is_so(self) {
            changes.changed().await.unwrap();
        }
    }

    /// Looks without touching anything, so that whoever waits for changes can look at each of them.
    fn look<T>(&self, work: impl FnOnce(&Record) -> T) -> T {
        work(&self.record.lock().unwrap())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Record) -> T) -> T {
        let out = work(&mut self.record.lock().unwrap());
        self.changes.send_modify(|count| *count += 1);
        out
    }

    fn next_act(&self, node: u8, order: &AttemptOrder) -> Act {
        self.with(|record| match &mut record.chooser {
            Some(chooser) => chooser(node, order),
            None => record.script.get_mut(&order.stage).and_then(VecDeque::pop_front).unwrap_or(Act::Succeed),
        })
    }

    /// User code begins. Returns which visit it is.
    fn begin(&self, node: u8, order: &AttemptOrder) -> usize {
        let reveal = |value: &Option<Secret<Value>>| value.as_ref().map(|value| value.reveal().clone());
        self.with(|record| {
            record.visits.push(Visit {
                node,
                run: order.attempt.run.clone(),
                stage: order.stage,
                parameters: reveal(&order.parameters),
                state: reveal(&order.state),
                deployment: order.deployment.clone(),
                has_passed: false,
            });
            record.visits.len() - 1
        })
    }

    fn success(&self, stage: Stage) -> AttemptEnd {
        match stage {
            Stage::Check | Stage::PostCheck => AttemptEnd::CheckPassed,
            Stage::Create => {
                let login = self.with(|record| {
                    record.logins += 1;
                    record.logins
                });
                AttemptEnd::Captured { state: Secret::new(json!({"version": 1, "login": login})) }
            }
            Stage::Api => AttemptEnd::Returned { result: json!({"ok": true}), payloads: Vec::new() },
        }
    }
}

/// Counts who holds a session, even if the attempt is dropped half-way.
struct Holding(Site, Option<SessionKey>);

impl Holding {
    fn new(site: &Site, order: &AttemptOrder) -> Self {
        let key = order.session.as_ref().filter(|_| order.stage.holds_session()).map(|session| session.key.clone());
        if let Some(key) = &key {
            site.with(|record| {
                let count = record.in_flight.entry(key.clone()).or_default();
                *count += 1;
                record.most_in_flight = record.most_in_flight.max(*count);
            });
        }
        Self(site.clone(), key)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(key) = &self.1 {
            self.0.with(|record| *record.in_flight.get_mut(key).unwrap() -= 1);
        }
        self.0.with(|record| record.ended += 1);
    }
}

/// Executes by the site's script.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) node: u8,
    pub(crate) site: Site,
    pub(crate) hook: Arc<Hook>,
}

#[async_trait]
impl Executor for Scripted {
    async fn execute(&self, order: AttemptOrder, host: Arc<dyn UserCalls>, cancel: CancellationToken) -> AttemptReport {
        self.hook.point("before execute").await;
        let site = &self.site;
        let act = site.next_act(self.node, &order);
        let _holding = Holding::new(site, &order);
        let is_user_code = match &act {
            Act::End(AttemptEnd::Failed(failure)) => failure.is_counted,
            Act::HangBeforeUserCode => false,
            Act::Succeed | Act::After(_) | Act::End(_) | Act::Hang | Act::Linger(_) | Act::Panic | Act::StoreFile(_) => true,
        };
        let visit = is_user_code.then(|| site.begin(self.node, &order));
        self.hook.point("during execute").await;
        let end = match act {
            Act::Succeed => site.success(order.stage),
            Act::After(moment) => {
                moment.notified().await;
                site.success(order.stage)
            }
            Act::End(end) => end,
            Act::Hang => {
                cancel.cancelled().await;
                AttemptEnd::Aborted
            }
            Act::Linger(until) => {
                cancel.cancelled().await;
                until.notified().await;
                AttemptEnd::Aborted
            }
            Act::HangBeforeUserCode => {
                site.with(|_| ());
                cancel.cancelled().await;
                AttemptEnd::Failed(AttemptFailure {
                    code: AttemptCode::InternalServerError,
                    message: "no slot was free in time".to_owned(),
                    is_retryable: true,
                    is_counted: false,
                })
            }
            Act::Panic => panic!("as the script says"),
            Act::StoreFile(name) => {
                let link = host.store_file(name, Some("text/plain"), Bytes::from_static(b"content")).await.unwrap();
                host.set_value("last-file", json!(link.read_url)).await.unwrap();
                let value = host.get_value("last-file").await.unwrap();
                AttemptEnd::Returned { result: json!({"id": link.id.as_str(), "url": value}), payloads: Vec::new() }
            }
        };
        if let (Some(visit), AttemptEnd::CheckPassed) = (visit, &end) {
            site.with(|record| record.visits[visit].has_passed = true);
        }
        self.hook.point("after execute").await;
        let trace = site.look(|record| record.trace).filter(|_| order.is_trace_wanted);
        let trace = trace.map(|outcome| Box::new(ScriptedTrace { site: site.clone(), outcome }) as Box<dyn PendingTrace>);
        AttemptReport { end, log: Bytes::from_static(b"{\"message\":\"hello\"}\n"), trace }
    }

    async fn warm(&self, deployment: &DeploymentId, _browser: BrowserChoice) {
        self.site.with(|record| record.warmed.push(deployment.clone()));
    }
}

#[derive(Debug)]
struct ScriptedTrace {
    site: Site,
    outcome: Result<&'static str, &'static str>,
}

#[async_trait]
impl PendingTrace for ScriptedTrace {
    async fn clean(self: Box<Self>) -> Result<Bytes, String> {
        self.outcome.map(|text| Bytes::from_static(text.as_bytes())).map_err(str::to_owned)
    }

    async fn discard(self: Box<Self>) {
        self.site.with(|record| record.discarded += 1);
    }
}

/// Builds by what the archive says: "refuse", "hang", or the text of a settings file.
#[derive(Debug)]
pub(crate) struct ScriptedBuilder {
    pub(crate) node: u8,
    pub(crate) site: Site,
}

#[async_trait]
impl Builder for ScriptedBuilder {
    async fn build(&self, deployment: &Deployment, archive: Bytes) -> BuildOutcome {
        let place = (self.node, deployment.id.clone());
        let is_broken = self.site.with(|record| {
            record.builds.push(place.clone());
            let left = record.broken_builds.entry(self.node).or_default();
            let is_broken = *left > 0;
            *left = left.saturating_sub(1);
            is_broken
        });
        if is_broken {
            return BuildOutcome::Infrastructure("the registry is not there".to_owned());
        }
        match std::str::from_utf8(&archive).unwrap() {
            "refuse" => BuildOutcome::Refused(vec![Problem {
                file: "api/orders.ts".to_owned(),
                line: Some(3),
                message: "does not parse".to_owned(),
            }]),
            "hang" => std::future::pending().await,
            settings => {
                self.site.with(|record| record.folders.insert(place));
                BuildOutcome::Built(crate::world::built(settings))
            }
        }
    }

    async fn is_here(&self, deployment: &DeploymentId) -> bool {
        self.site.look(|record| record.folders.contains(&(self.node, deployment.clone())))
    }
}
