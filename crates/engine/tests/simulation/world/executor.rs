//! Attempts and builds by chance, in virtual time: they succeed, throw, time out, break before user code starts, go on for
//! longer than a lease lasts, and take their time to die when they are told to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{
    ApiName, AttemptCode, AttemptEnd, AttemptFailure, AttemptOrder, BrowserChoice, DeploymentId, Language, Problem, Secret, Stage,
};
use keywright_engine::{AttemptReport, BuildOutcome, Builder, Executor, PendingTrace, UserCalls};
use keywright_store::{BuiltDeployment, Deployment};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::World;
use super::life::Life;
use super::site::{ExecutionIndex, Login};

/// What an executor may take to end what it was told to end.
const MAX_DYING_MS: u64 = 9_500;

/// The archive of a project that cannot be built.
pub(crate) const REFUSED_ARCHIVE: &str = "refuse";

/// How an attempt will end, unless it is told to end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Succeed,
    Throw,
    TimeOut,
    CheckFails,
    /// No slot: user code does not start.
    NotStarted,
}

/// The executor of one life.
#[derive(Debug)]
pub(crate) struct ChanceExecutor {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
}

impl ChanceExecutor {
    fn act(&self, stage: Stage) -> Act {
        match (self.world.dice.number(0, 100), stage) {
            (0..3, _) => Act::NotStarted,
            (3..13, _) => Act::Throw,
            (13..18, _) => Act::TimeOut,
            (18..34, Stage::Check | Stage::PostCheck) => Act::CheckFails,
            (18..100, _) => Act::Succeed,
            _ => unreachable!("the range ends at a hundred"),
        }
    }

    fn duration(&self) -> Duration {
        let dice = &self.world.dice;
        match dice.number(0, 100) {
            0..80 => dice.millis(20, 3_000),
            80..95 => dice.millis(3_000, 20_000),
            // Beyond every lease.
            _ if !self.world.weather.is_calm() => dice.millis(20_000, 90_000),
            _ => dice.millis(20, 3_000),
        }
    }

    async fn end(&self, act: Act, order: &AttemptOrder, host: &dyn UserCalls) -> AttemptEnd {
        let success = |end| match act {
            Act::Succeed => end,
            Act::Throw => failed(AttemptCode::ScriptExecutionException, true),
            Act::TimeOut => failed(AttemptCode::ScriptTimeout, true),
            Act::CheckFails => failed(AttemptCode::AuthCheckFailed, true),
            Act::NotStarted => failed(AttemptCode::InternalServerError, false),
        };
        match order.stage {
            Stage::Check | Stage::PostCheck => success(AttemptEnd::CheckPassed),
            Stage::Create => success(AttemptEnd::Captured { state: Secret::new(self.log_in(order)) }),
            Stage::Api => {
                if self.world.dice.chance(0.1) {
                    // What user code is told is its own business; here only that the calls come back.
                    let _ = host.set_value("last", json!(order.attempt.to_string())).await;
                    let _ = host.store_file("report.txt", None, Bytes::from_static(b"report")).await;
                }
                success(AttemptEnd::Returned { result: json!({"of": order.attempt.to_string()}), payloads: Vec::new() })
            }
        }
    }

    /// Makes a login that nobody made before.
    fn log_in(&self, order: &AttemptOrder) -> serde_json::Value {
        let number = self.world.site.with(|journal| {
            journal.logins.push(Login {
                session: order.session.as_ref().map(|session| session.key.clone()),
                input: order.parameters.as_ref().map(|input| input.reveal().clone()),
                ..Login::default()
            });
            journal.logins.len() - 1
        });
        json!({"version": 1, "login": number})
    }

    fn check_passed(&self, order: &AttemptOrder) {
        let login = order.state.as_ref().and_then(|state| state.reveal()["login"].as_u64());
        self.world.site.with(|journal| {
            if let Some(login) = login.and_then(|number| journal.logins.get_mut(usize::try_from(number).unwrap())) {
                match order.stage {
                    Stage::PostCheck => login.has_passed_post_check = true,
                    Stage::Check => login.has_passed_check = true,
                    Stage::Create | Stage::Api => {}
                }
            }
            *journal.checked.entry(order.attempt.run.clone()).or_default() += 1;
        });
    }

    fn over(&self, index: ExecutionIndex) {
        self.world.site.with(|journal| journal.executions[index].is_over = true);
    }
}

fn failed(code: AttemptCode, is_counted: bool) -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure { code, message: "by chance".to_owned(), is_retryable: true, is_counted })
}

#[async_trait]
impl Executor for ChanceExecutor {
    async fn execute(&self, order: AttemptOrder, host: Arc<dyn UserCalls>, cancel: CancellationToken) -> AttemptReport {
        self.life.running().await;
        let act = self.act(order.stage);
        let index = self.world.begin_execution(&order, &self.life, act != Act::NotStarted);
        let work = async {
            tokio::time::sleep(self.duration()).await;
            self.end(act, &order, host.as_ref()).await
        };
        // A stopped process tells nobody to end; what it started goes on meanwhile.
        let told = async {
            cancel.cancelled().await;
            self.life.running().await;
        };
        let end = tokio::select! {
            biased;
            () = told => {
                self.world.site.with(|journal| journal.executions[index].told_at = Some(tokio::time::Instant::now()));
                tokio::time::sleep(self.world.dice.millis(0, MAX_DYING_MS)).await;
                if act == Act::NotStarted { failed(AttemptCode::InternalServerError, false) } else { AttemptEnd::Aborted }
            }
            end = work => end,
        };
        if end == AttemptEnd::CheckPassed && !self.life.is_dead() {
            self.check_passed(&order);
        }
        self.over(index);
        self.life.running().await;
        let is_traced = order.is_trace_wanted && self.world.dice.chance(0.9);
        let trace = is_traced.then(|| Box::new(ChanceTrace { world: Arc::clone(&self.world) }) as Box<dyn PendingTrace>);
        AttemptReport { end, log: Bytes::from_static(b"{\"message\":\"hello\"}\n"), trace }
    }

    async fn warm(&self, _deployment: &DeploymentId, _browser: BrowserChoice) {
        self.life.running().await;
    }
}

#[derive(Debug)]
struct ChanceTrace {
    world: Arc<World>,
}

#[async_trait]
impl PendingTrace for ChanceTrace {
    async fn clean(self: Box<Self>) -> Result<Bytes, String> {
        tokio::time::sleep(self.world.dice.millis(10, 4_000)).await;
        if self.world.dice.chance(0.1) { Err("it holds a secret".to_owned()) } else { Ok(Bytes::from_static(b"trace")) }
    }

    async fn discard(self: Box<Self>) {}
}

/// The builder of one life; what was built stays on its node's disk.
#[derive(Debug)]
pub(crate) struct ChanceBuilder {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
    pub(crate) folders: Arc<Mutex<BTreeSet<DeploymentId>>>,
}

#[async_trait]
impl Builder for ChanceBuilder {
    async fn build(&self, deployment: &Deployment, archive: Bytes) -> BuildOutcome {
        self.life.running().await;
        let dice = &self.world.dice;
        tokio::time::sleep(dice.millis(10, 4_000)).await;
        self.life.running().await;
        let text = std::str::from_utf8(&archive).unwrap();
        if text == REFUSED_ARCHIVE {
            let message = "does not parse".to_owned();
            return BuildOutcome::Refused(vec![Problem { file: "api/orders.ts".to_owned(), line: Some(3), message }]);
        }
        if !self.world.weather.is_calm() && dice.chance(0.05) {
            return BuildOutcome::Infrastructure("no disk".to_owned());
        }
        self.folders.lock().unwrap().insert(deployment.id.clone());
        BuildOutcome::Built(BuiltDeployment {
            language: Language::Node,
            settings_file: "Intuned.json".to_owned(),
            settings_text: text.to_owned(),
            apis: vec![ApiName::parse("orders").unwrap()],
            python: None,
            playwright_root: None,
            warnings: Vec::new(),
        })
    }

    async fn is_here(&self, deployment: &DeploymentId) -> bool {
        self.life.running().await;
        self.folders.lock().unwrap().contains(deployment)
    }
}
