//! The network between one caller and the store: the port again, with weather in between and a witness at the store's door.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use keywright_domain::{
    AttemptId, AttemptNumber, DeploymentId, Epoch, FileId, KeyId, OperationId, Problem, ProjectId, RetentionPolicy, RunId,
    RunReason, SessionKey, Stage, Timestamp, WorkerId, WorkspaceId,
};
use keywright_store::*;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::life::Life;
use super::promises::{GivenClaim, GivenSeat};
use super::weather::Fate;
use super::{World, judge};

/// A caller's way to the store.
#[derive(Debug)]
pub(crate) struct Link {
    world: Arc<World>,
    name: String,
    /// The process that calls; callers from outside have none and do not die.
    life: Option<Arc<Life>>,
    signals: Signals,
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

type Outcome<T> = Result<T, StoreError>;

fn lost() -> Box<dyn std::error::Error + Send + Sync> {
    "the connection broke".into()
}

impl Link {
    /// The way of a process.
    pub(crate) fn of_life(world: &Arc<World>, life: &Arc<Life>) -> Self {
        let signals = Signals::default();
        world.listen(life, signals.clone());
        Self { world: Arc::clone(world), name: life.name.clone(), life: Some(Arc::clone(life)), signals }
    }

    /// The way of whoever calls from outside.
    pub(crate) fn of_caller(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), name: "caller".to_owned(), life: None, signals: Signals::default() }
    }

    async fn running(&self) {
        if let Some(life) = &self.life {
            life.running().await;
        }
    }

    /// Once in a while a request is held up on the way, and a copy of it arrives when nobody waits for it any more, as after a
    /// machine was suspended. Only for what may be said twice.
    fn echo(&self, send: impl FnOnce(Self) -> BoxFuture<'static, ()>) {
        let world = &self.world;
        if self.life.is_none() || world.weather.is_calm() || !world.dice.chance(0.03) {
            return;
        }
        let late =
            Self { world: Arc::clone(world), name: format!("{} late", self.name), life: None, signals: Signals::default() };
        let (delay, sent) = (world.dice.millis(15_000, 90_000), send(late));
        world.echoes.lock().unwrap().spawn(async move {
            sleep(delay).await;
            sent.await;
        });
    }

    async fn die(&self, method: &str, moment: &str) -> ! {
        if let Some(life) = &self.life {
            self.world.say(&self.name, &format!("{method}: dies {moment} it"));
            life.kill();
            self.world.site.ended_with(life);
        }
        std::future::pending().await
    }

    /// Carries a call there and its answer back, as the weather will have it. `witness` sees the true outcome at the door.
    async fn carry<T, W>(
        &self,
        method: &'static str,
        is_write: bool,
        call: impl Future<Output = Outcome<T>> + Send,
        witness: W,
    ) -> Outcome<T>
    where
        T: Send,
        W: FnOnce(&World, &T) -> Result<String, String> + Send,
    {
        self.running().await;
        let world = &self.world;
        let refused = || Err(StoreError::Unavailable(lost()));
        let unknown = || if is_write { Err(StoreError::Unknown(lost())) } else { Err(StoreError::Unavailable(lost())) };
        let done = match world.weather.fate(&world.dice, self.life.as_deref()) {
            Fate::Answered { there, back } => {
                sleep(there).await;
                if world.weather.is_cut(self.life.as_deref()) {
                    world.say(&self.name, &format!("{method}: does not arrive"));
                    refused()
                } else {
                    let done = self.arrive(method, call, witness);
                    sleep(back).await;
                    if world.weather.is_cut(self.life.as_deref()) { unknown() } else { done }
                }
            }
            Fate::Refused { after } => {
                sleep(after).await;
                world.say(&self.name, &format!("{method}: refused"));
                refused()
            }
            Fate::Unknown { is_done, after } => {
                if is_done && !world.weather.is_cut(self.life.as_deref()) {
                    let _ = self.arrive(method, call, witness);
                }
                sleep(after).await;
                world.say(&self.name, &format!("{method}: nobody knows"));
                unknown()
            }
            Fate::DeathBefore => self.die(method, "before").await,
            Fate::DeathInside(polls) => {
                let outcome = world.cut_short(call, polls);
                if let Some(Ok(value)) = &outcome {
                    self.testify(method, value, witness);
                }
                world.stepped();
                if self.life.is_some() {
                    self.die(method, "inside").await
                }
                world.say(&self.name, &format!("{method}: cut short"));
                unknown()
            }
            Fate::DeathAfter => {
                let _ = self.arrive(method, call, witness);
                self.die(method, "after").await
            }
        };
        self.running().await;
        done
    }

    /// The call is at the store's door and is done.
    fn arrive<T, W>(&self, method: &str, call: impl Future<Output = Outcome<T>>, witness: W) -> Outcome<T>
    where
        W: FnOnce(&World, &T) -> Result<String, String>,
    {
        let outcome = self.world.at_once(call);
        match &outcome {
            Ok(value) => self.testify(method, value, witness),
            Err(error) => self.world.broken(format!("the store itself fails in {method}: {error:?}")),
        }
        self.world.stepped();
        outcome
    }

    fn testify<T>(&self, method: &str, value: &T, witness: impl FnOnce(&World, &T) -> Result<String, String>) {
        match witness(&self.world, value) {
            Ok(text) => self.world.say(&self.name, &format!("{method} {text}")),
            Err(what) => self.world.broken(what),
        }
    }

    /// Remembers that a call about leases failed.
    fn note<T>(&self, outcome: &Outcome<T>) {
        if let (Some(life), Err(_)) = (&self.life, outcome) {
            life.in_trouble();
        }
    }

    /// Whether the store, asked right before a write, says that the claim it names holds.
    fn is_held(world: &World, run: &RunId, epoch: Epoch) -> bool {
        let claim = world.promises.with(|known| known.claims.get(run).cloned());
        claim.is_some_and(|claim| claim.epoch == epoch && judge::held(world, &claim.worker).contains(&(run.clone(), epoch)))
    }

    fn is_seated(world: &World, held: &Held) -> bool {
        let seat = world.promises.with(|known| known.seat.clone());
        seat.is_some_and(|seat| seat.held == *held && seat.until > world.database_now())
    }
}

impl World {
    fn database_now(&self) -> Timestamp {
        self.clock.set(self.beginning.elapsed());
        keywright_store::Clock::now(self.clock.as_ref())
    }

    /// Whether the projects of these runs, just taken, have no more of them under way than they may.
    fn claims_fit(&self, taken: &[RunRecord]) -> Result<(), String> {
        let workers = self.at_once(self.store.list_workers(1_000)).map_err(|error| format!("{error:?}"))?;
        let holders = workers.iter().filter(|worker| worker.runs > 0);
        let held: Vec<_> = holders.flat_map(|worker| judge::held(self, &worker.id)).map(|(run, _)| run).collect();
        for (index, project) in self.projects.iter().enumerate() {
            if !taken.iter().any(|run| run.project == project.id) {
                continue;
            }
            let count = self.promises.with(|known| {
                held.iter().filter(|run| known.asked.get(*run).is_some_and(|asked| asked.project == index)).count()
            });
            let found = self.at_once(self.store.find_project(&self.workspace, &project.name));
            let found = found.map_err(|error| format!("{error:?}"))?;
            let most = found.and_then(|found| found.active).map_or(0, |active| active.settings.max_concurrent);
            if count > most as usize {
                return Err(format!("I12: {count} runs of project {} are under way, {most} may be", project.name));
            }
        }
        Ok(())
    }

    /// Notes which workers are not live any more. Returns those that were not known to be.
    fn note_gone(&self) -> Vec<WorkerRecord> {
        let workers = self.at_once(self.store.list_workers(1_000)).unwrap_or_default();
        let gone: Vec<_> = workers.into_iter().filter(|worker| worker.status != WorkerStatus::Live).collect();
        self.promises.with(|known| gone.into_iter().filter(|worker| known.gone.insert(worker.id.clone())).collect())
    }
}

/// Nothing to say of it.
fn nothing<T>(_: &World, _: &T) -> Result<String, String> {
    Ok(String::new())
}

#[async_trait]
impl Store for Link {
    fn signals(&self) -> &Signals {
        &self.signals
    }
    async fn ping(&self) -> Outcome<Timestamp> {
        self.carry("ping", false, self.world.store.ping(), nothing).await
    }
    async fn close(&self) {}
}

macro_rules! pass_on {
    ($trait:ident: $($name:ident($($arg:ident: $kind:ty),*) -> $out:ty, $write:literal;)*) => {
        #[async_trait]
        impl $trait for Link {
            $(async fn $name(&self, $($arg: $kind),*) -> Outcome<$out> {
                self.carry(stringify!($name), $write, self.world.store.$name($($arg),*), nothing).await
            })*
        }
    };
}

pass_on! { Keys:
    bootstrap(workspace: &WorkspaceId, key: NewKey) -> Bootstrap, true;
    find_key(hash: &[u8; 32]) -> Option<ApiKey>, false;
    create_key(workspace: &WorkspaceId, key: NewKey) -> ApiKey, true;
    list_keys(workspace: &WorkspaceId) -> Vec<ApiKey>, false;
    revoke_key(workspace: &WorkspaceId, id: &KeyId) -> Option<ApiKey>, true;
}
pass_on! { Projects:
    find_project(workspace: &WorkspaceId, name: &str) -> Option<Project>, false;
    list_projects(workspace: &WorkspaceId) -> Vec<Project>, false;
}
pass_on! { Operations:
    find_operation(project: &ProjectId, id: &OperationId) -> Option<Operation>, false;
}
pass_on! { Files:
    insert_file(file: StoredFile) -> (), true;
    get_file(id: &FileId) -> Option<StoredFile>, false;
}
pass_on! { KeyValues:
    get_value(workspace: &WorkspaceId, project: &ProjectId, key: &str) -> Option<Value>, false;
    set_value(workspace: &WorkspaceId, project: &ProjectId, key: &str, value: Value) -> (), true;
}
pass_on! { AuthSessions:
    list_auth_sessions(project: &ProjectId) -> Vec<AuthSession>, false;
    find_auth_session(project: &ProjectId, id: &str) -> Option<AuthSession>, false;
    delete_auth_session(project: &ProjectId, id: &str) -> bool, true;
    session_secrets(key: &SessionKey) -> Option<SessionSecrets>, false;
}
pass_on! { Deployments:
    accept_deployment(workspace: &WorkspaceId, new: NewDeployment) -> Deployment, true;
    claim_build(worker: &WorkerId) -> Option<Deployment>, true;
    release_build(worker: &WorkerId, id: &DeploymentId) -> (), true;
    finish_build(worker: &WorkerId, id: &DeploymentId, built: BuiltDeployment) -> BuildEnd, true;
    refuse_build(worker: &WorkerId, id: &DeploymentId, problems: Vec<Problem>) -> BuildEnd, true;
    find_deployment(project: &ProjectId, id: &DeploymentId) -> Option<Deployment>, false;
    get_deployment(id: &DeploymentId) -> Option<Deployment>, false;
    list_deployments(project: &ProjectId, limit: u32) -> Vec<Deployment>, false;
    activate_deployment(project: &ProjectId, id: &DeploymentId) -> Option<Deployment>, true;
}
pass_on! { Attempts:
    list_attempts(project: &ProjectId, run: &RunId) -> Option<Vec<AttemptRecord>>, false;
    file_log(run: &RunId, number: AttemptNumber, log: StoredBlob) -> (), true;
    file_trace(run: &RunId, number: AttemptNumber, trace: StoredBlob) -> (), true;
    drop_trace(run: &RunId, number: AttemptNumber, reason: &str) -> (), true;
}
pass_on! { Inventory:
    list_named_blobs(by: NamedBy, after: &str, limit: u32) -> Vec<NamedBlob>, false;
}
pass_on! { Secrets:
    list_data_keys() -> Vec<DataKeys>, false;
    rotate_data_keys() -> (), true;
    reseal(workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> SealedBatch, true;
    settle_data_keys(workspace: &WorkspaceId) -> (), true;
    check_sealed(workspace: &WorkspaceId, from: &SealedCursor, limit: u32) -> SealedBatch, false;
}
pass_on! { Audit:
    audit(limit: u32) -> Vec<Violation>, false;
}

#[async_trait]
impl Runs for Link {
    async fn accept_run(&self, workspace: &WorkspaceId, project: &ProjectId, new: NewRun) -> Outcome<Accepted> {
        let call = self.world.store.accept_run(workspace, project, new);
        self.carry("accept_run", true, call, |_, accepted| Ok(format!("{accepted:?}"))).await
    }

    async fn accept_operation(&self, workspace: &WorkspaceId, project: &ProjectId, new: NewOperation) -> Outcome<Accepted> {
        let call = self.world.store.accept_operation(workspace, project, new);
        self.carry("accept_operation", true, call, |_, accepted| Ok(format!("{accepted:?}"))).await
    }

    async fn find_run(&self, project: &ProjectId, id: &RunId) -> Outcome<Option<RunOutput>> {
        self.carry("find_run", false, self.world.store.find_run(project, id), nothing).await
    }

    async fn claim_runs(&self, worker: &WorkerId, limit: u32) -> Outcome<Claimed> {
        let witness = |world: &World, claimed: &Claimed| {
            let Claimed::Runs(runs) = claimed else { return Ok("the worker is gone".to_owned()) };
            if runs.is_empty() {
                return Ok("nothing".to_owned());
            }
            let mut text = String::new();
            for run in runs {
                text += &format!("{} epoch {} {} ", run.id, run.epoch.get(), run.state.as_str());
                world.promises.with(|known| {
                    let Some(asked) = known.asked.get(&run.id) else {
                        return Err(format!("run {} is claimed, but nobody asked for it", run.id));
                    };
                    if asked.canceled_at.is_some() || asked.end.is_some() {
                        return Err(format!("I3: run {} is claimed after its end", run.id));
                    }
                    let claim = GivenClaim { worker: worker.clone(), epoch: run.epoch };
                    match known.claims.insert(run.id.clone(), claim) {
                        Some(before) if before.epoch >= run.epoch => {
                            Err(format!("I4: run {} is claimed under epoch {}, which is not new", run.id, run.epoch.get()))
                        }
                        Some(_) | None => Ok(()),
                    }
                })?;
            }
            if world.promises.with(|known| known.gone.contains(worker)) {
                return Err(format!("I4: worker {worker} was given up and is handed runs"));
            }
            world.claims_fit(runs)?;
            Ok(text)
        };
        self.carry("claim_runs", true, self.world.store.claim_runs(worker, limit), witness).await
    }

    async fn release_run(&self, id: &RunId, epoch: Epoch) -> Outcome<()> {
        let text = format!("{id} epoch {}", epoch.get());
        self.carry("release_run", true, self.world.store.release_run(id, epoch), move |_, ()| Ok(text)).await
    }

    async fn list_claims(&self, worker: &WorkerId) -> Outcome<Vec<(RunId, Epoch)>> {
        self.carry("list_claims", false, self.world.store.list_claims(worker), |_, claims| Ok(claims.len().to_string())).await
    }

    async fn begin_attempt(&self, id: &RunId, epoch: Epoch, stage: Stage) -> Outcome<Option<AttemptNumber>> {
        let world = &self.world;
        // Asked at the door, in the same step as the call itself.
        let call = async {
            let is_held = Self::is_held(world, id, epoch);
            world.store.begin_attempt(id, epoch, stage).await.map(|number| (number, is_held))
        };
        let witness = |world: &World, (number, is_held): &(Option<AttemptNumber>, bool)| {
            let Some(number) = number else { return Ok(format!("{id}: stale")) };
            if !is_held {
                return Err(format!("I4: an attempt of run {id} begins under epoch {}, which does not hold", epoch.get()));
            }
            let attempt = AttemptId { run: id.clone(), number: *number };
            let text = format!("{} {attempt} epoch {}", stage.as_str(), epoch.get());
            world.promises.with(|known| known.begun.insert(attempt));
            Ok(text)
        };
        self.carry("begin_attempt", true, call, witness).await.map(|(number, _)| number)
    }

    async fn commit_run(&self, commit: RunCommit) -> Outcome<CommitOutcome> {
        let world = &self.world;
        let (id, epoch, state) = (commit.run.clone(), commit.epoch, commit.state.clone());
        let held = id.clone();
        let call = async {
            let is_held = Self::is_held(world, &held, epoch);
            world.store.commit_run(commit).await.map(|outcome| (outcome, is_held))
        };
        let witness = |_: &World, (outcome, is_held): &(CommitOutcome, bool)| match outcome {
            CommitOutcome::Committed if !is_held => {
                Err(format!("I4: run {id} is written under epoch {}, which does not hold", epoch.get()))
            }
            CommitOutcome::Committed | CommitOutcome::Stale | CommitOutcome::SessionGone => {
                Ok(format!("{id} epoch {} {}: {outcome:?}", epoch.get(), state.as_str()))
            }
        };
        self.carry("commit_run", true, call, witness).await.map(|(outcome, _)| outcome)
    }

    async fn cancel_run(&self, project: &ProjectId, id: &RunId, reason: RunReason) -> Outcome<Option<RunOutput>> {
        let call = self.world.store.cancel_run(project, id, reason);
        self.carry("cancel_run", true, call, |_, _| Ok(id.to_string())).await
    }

    async fn cancel_locked_out(&self, under: &Held, limit: u32) -> Outcome<Option<u64>> {
        let world = &self.world;
        let call = async {
            let is_seated = Self::is_seated(world, under);
            world.store.cancel_locked_out(under, limit).await.map(|count| (count, is_seated))
        };
        let outcome = self.carry("cancel_locked_out", true, call, |_, (count, is_seated)| seated(count, *is_seated)).await;
        self.note(&outcome);
        outcome.map(|(count, _)| count)
    }
}

/// What is done under a seat is done only while it is held.
fn seated<T: std::fmt::Debug>(outcome: &Option<T>, is_seated: bool) -> Result<String, String> {
    match outcome {
        Some(value) if !is_seated => Err(format!("I4: {value:?} was done under a seat that is not held")),
        Some(value) => Ok(format!("{value:?}")),
        None => Ok("not seated".to_owned()),
    }
}

#[async_trait]
impl Workers for Link {
    async fn register_worker(&self, new: NewWorker) -> Outcome<Rescued> {
        let (id, sent_at) = (new.id.clone(), Instant::now());
        let witness = |world: &World, freed: &Rescued| {
            if let Some(life) = &self.life {
                life.registered(id.clone());
            }
            world.note_gone();
            Ok(format!("{id} {freed:?}"))
        };
        let outcome = self.carry("register_worker", true, self.world.store.register_worker(new), witness).await;
        if let (Some(life), Ok(_)) = (&self.life, &outcome) {
            life.acknowledged(sent_at);
        }
        outcome
    }

    async fn renew_worker(&self, id: &WorkerId, ttl_ms: u32) -> Outcome<Renewal> {
        let sent_at = Instant::now();
        let witness = |world: &World, renewal: &Renewal| match renewal {
            Renewal::Renewed { .. } if world.promises.with(|known| known.gone.contains(id)) => {
                Err(format!("I4: worker {id} was given up and renews its lease"))
            }
            Renewal::Renewed { .. } | Renewal::Gone => Ok(format!("{renewal:?}")),
        };
        let outcome = self.carry("renew_worker", true, self.world.store.renew_worker(id, ttl_ms), witness).await;
        self.note(&outcome);
        if let (Some(life), Ok(Renewal::Renewed { .. })) = (&self.life, &outcome) {
            life.acknowledged(sent_at);
        }
        outcome
    }

    async fn retire_worker(&self, id: &WorkerId) -> Outcome<Rescued> {
        let witness = |world: &World, freed: &Rescued| {
            world.note_gone();
            Ok(format!("{freed:?}"))
        };
        self.carry("retire_worker", true, self.world.store.retire_worker(id), witness).await
    }

    async fn rescue_workers(&self, under: &Held, limit: u32) -> Outcome<Option<Rescued>> {
        let (world, again) = (&self.world, under.clone());
        self.echo(|late| {
            Box::pin(async move {
                let _ = late.rescue_workers(&again, limit).await;
            })
        });
        let trouble_at = self.life.as_ref().and_then(|life| life.trouble_at());
        let is_patient = trouble_at.is_none_or(|at| at.elapsed() + std::time::Duration::from_millis(1) >= judge::TTL);
        let call = async {
            let is_seated = Self::is_seated(world, under);
            world.store.rescue_workers(under, limit).await.map(|rescued| (rescued, is_seated))
        };
        let witness = |world: &World, (rescued, is_seated): &(Option<Rescued>, bool)| {
            for worker in world.note_gone() {
                if worker.lease_until >= world.database_now() {
                    return Err(format!("worker {} is given up although its lease holds", worker.id));
                }
                if !is_patient {
                    return Err(format!("worker {} is given up too soon after the database did not answer", worker.id));
                }
            }
            seated(rescued, *is_seated)
        };
        let outcome = self.carry("rescue_workers", true, call, witness).await;
        self.note(&outcome);
        outcome.map(|(rescued, _)| rescued)
    }

    async fn list_workers(&self, limit: u32) -> Outcome<Vec<WorkerRecord>> {
        self.carry("list_workers", false, self.world.store.list_workers(limit), nothing).await
    }
}

#[async_trait]
impl Leases for Link {
    async fn acquire_lease(&self, name: LeaseName, owner: &WorkerId, ttl_ms: u32) -> Outcome<Option<Held>> {
        let witness = |world: &World, held: &Option<Held>| {
            let Some(held) = held else { return Ok("somebody else's".to_owned()) };
            let (now, is_gone) = (world.database_now(), world.promises.with(|known| known.gone.contains(owner)));
            if is_gone {
                return Err(format!("I4: worker {owner} was given up and takes a seat"));
            }
            let until = Timestamp::from_micros(now.as_micros() + i64::from(ttl_ms) * 1_000);
            world.promises.with(|known| {
                if let Some(before) = &known.seat {
                    let is_same = before.held == *held;
                    let is_free =
                        before.until <= now || known.gone.contains(&before.held.owner) || before.held.owner == held.owner;
                    if !is_same && (before.held.epoch >= held.epoch || !is_free) {
                        return Err(format!("I4: {held:?} is seated while {before:?} is"));
                    }
                }
                known.seat = Some(GivenSeat { held: held.clone(), until });
                Ok(format!("epoch {}", held.epoch.get()))
            })
        };
        let outcome = self.carry("acquire_lease", true, self.world.store.acquire_lease(name, owner, ttl_ms), witness).await;
        self.note(&outcome);
        outcome
    }

    async fn release_lease(&self, held: &Held) -> Outcome<()> {
        let witness = |world: &World, (): &()| {
            world.promises.with(|known| {
                if let Some(seat) = known.seat.as_mut().filter(|seat| seat.held == *held) {
                    seat.until = Timestamp::from_micros(0);
                }
            });
            Ok(String::new())
        };
        self.carry("release_lease", true, self.world.store.release_lease(held), witness).await
    }
}

#[async_trait]
impl History for Link {
    async fn list_run_events(&self, project: &ProjectId, run: &RunId, limit: u32) -> Outcome<Option<Vec<RunEventRecord>>> {
        self.carry("list_run_events", false, self.world.store.list_run_events(project, run, limit), nothing).await
    }

    async fn expire_history(&self, under: &Held, policy: &RetentionPolicy, limit: u32) -> Outcome<Option<Expired>> {
        let world = &self.world;
        let call = async {
            let is_seated = Self::is_seated(world, under);
            world.store.expire_history(under, policy, limit).await.map(|expired| (expired, is_seated))
        };
        let outcome = self.carry("expire_history", true, call, |_, (expired, is_seated)| seated(expired, *is_seated)).await;
        outcome.map(|(expired, _)| expired)
    }

    async fn list_garbage(&self, limit: u32) -> Outcome<Vec<GarbageBlob>> {
        self.carry("list_garbage", false, self.world.store.list_garbage(limit), nothing).await
    }

    async fn forget_garbage(&self, removed: &[GarbageBlob]) -> Outcome<()> {
        self.carry("forget_garbage", true, self.world.store.forget_garbage(removed), nothing).await
    }
}
