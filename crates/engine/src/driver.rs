//! One run, from its claim to its end: enters the machine, makes attempts, commits transitions.
//!
//! The order in which things happen is what makes a crash harmless: the session is looked at, the attempt is used up
//! durably, user code runs, the log is stored, and one commit carries the end with everything that belongs to it. If the
//! process dies between any two of these, the next life finds an open attempt, or none, and goes on from there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keywright_domain::{
    AttemptEnd, AttemptFailure, AttemptId, AttemptNumber, Effect, ExtendedPayload, RunEvent, RunPlan, RunState, Secret,
    SessionStanding, Stage,
};
use keywright_store::planted::{self, PlantedBug};
use keywright_store::{
    AttemptClose, AttemptOutcome, BlobKey, CommitOutcome, Deployment, RunCommit, RunRecord, SessionSecrets, StoredBlob,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::backoff::{Halt, Repeat};
use crate::ends::{Told, not_started, settle};
use crate::life::Life;
use crate::local_builds::{Preparation, prepare};
use crate::login::{feasible_plan, standing};
use crate::order::{Material, deployment_of};
use crate::{AttemptReport, PendingTrace, attempt, traces};

/// Before a run that the store refused for good is handed back, to be tried from its last commit. Keeps a bug from becoming
/// a flood.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Leads one claimed run.
#[derive(Debug)]
pub(crate) struct Driver {
    life: Arc<Life>,
    run: RunRecord,
    claim_lost: CancellationToken,
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The run is where its record says.
    GoOn,
    /// The claim does not hold any more.
    Lost,
    /// It is to be handed back, without an attempt.
    HandBack,
}

/// What an attempt needs to know beyond its run, or why it cannot be known.
type Known<T> = Result<T, AttemptFailure>;

/// What a transition brings along to be kept.
#[derive(Debug, Default)]
struct Kept {
    candidate: Option<Secret<Value>>,
    result: Option<Value>,
    payloads: Vec<ExtendedPayload>,
}

impl Driver {
    pub(crate) const fn new(life: Arc<Life>, run: RunRecord, claim_lost: CancellationToken) -> Self {
        Self { life, run, claim_lost }
    }

    /// Leads the run until it has ended, its claim is lost, the worker's life is over, or the engine drains.
    pub(crate) async fn drive(mut self) {
        match self.lead().await {
            Ok(()) => {}
            // Whoever frees what this life held finds the run as its last commit left it.
            Err(Halt::Stopped) => tracing::warn!(run = %self.run.id, "the store was not available until the end"),
            Err(Halt::Over) => tracing::warn!(run = %self.run.id, "a run is left to others, because this worker's life is over"),
            Err(error @ Halt::Unknown(_)) => {
                // It may have happened or not. What the store has is true either way: an attempt that is open there counts
                // as lost, and a run that has ended there is not handed out again.
                tracing::warn!(error = &error as &dyn std::error::Error, run = %self.run.id, "a run is let go of");
                if let Err(error) = hand_back(&self.life, &self.run).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, run = %self.run.id, "a run was not handed back yet");
                }
            }
            Err(error @ (Halt::Store(_) | Halt::Machine(_))) => {
                tracing::error!(error = &error as &dyn std::error::Error, run = %self.run.id, "a run cannot go on from here");
                hand_back_later(&self.life, &self.run).await;
            }
        }
    }

    async fn lead(&mut self) -> Result<(), Halt> {
        if !self.may_begin() {
            return hand_back(&self.life, &self.run).await;
        }
        let mut step = self.enter().await?;
        loop {
            match step {
                Step::GoOn => {}
                Step::Lost => return Ok(()),
                Step::HandBack => return hand_back(&self.life, &self.run).await,
            }
            let stage = match &self.run.state {
                RunState::Started(progress) => progress.stage,
                state @ (RunState::Pending | RunState::Completed | RunState::Failed(_) | RunState::Canceled(_)) => {
                    let (kind, state) = (self.run.plan.kind.as_str(), state.as_str());
                    tracing::info!(run = %self.run.id, kind, state, "a run has ended");
                    return Ok(());
                }
            };
            step = if self.may_begin() { self.attempt(stage).await? } else { Step::HandBack };
        }
    }

    /// Whether another attempt may begin here: not while the engine drains, and not while this machine cannot start any.
    fn may_begin(&self) -> bool {
        let shared = &self.life.shared;
        !shared.draining.is_cancelled() && shared.fitness.pause(shared.clock.uptime()).is_none()
    }

    /// Puts the run into the machine: freshly, again, or with an attempt that an earlier life left open.
    async fn enter(&mut self) -> Result<Step, Halt> {
        let session = self.session().await?;
        // A session that cannot be read is there; the attempt that needs it will say what is wrong with it.
        let standing = session.as_ref().map_or(SessionStanding::WithState, |secrets| standing(secrets.as_ref()));
        let plan = self.plan(&session);
        let Some(number) = self.run.open_attempt.take() else {
            return self.commit(&plan, RunEvent::Begin(standing), None, Kept::default()).await;
        };
        let is_gone = self.run.plan.needs_session && standing == SessionStanding::Missing;
        let uncounted = AttemptEnd::Failed(AttemptFailure { is_counted: false, ..AttemptFailure::worker_lost() });
        let event = match is_gone {
            true => RunEvent::SessionDeleted,
            false if planted::is(PlantedBug::LostAttemptNotCounted) => RunEvent::AttemptEnded(&uncounted),
            false => RunEvent::WorkerLost,
        };
        let outcome = AttemptOutcome::Failed(AttemptFailure::worker_lost());
        let close = AttemptClose { number, outcome, log: None, is_trace_pending: false };
        self.commit(&plan, event, Some(close), Kept::default()).await
    }

    /// Makes one attempt of the stage.
    async fn attempt(&mut self, stage: Stage) -> Result<Step, Halt> {
        let shared = Arc::clone(&self.life.shared);
        let deployment = self.deployment().await?;
        let prepared = match &deployment {
            Ok(Some(ready)) if ready.built.is_some() => self.prepare(ready).await,
            // Whatever is wrong with it, the order that cannot be made will say.
            Ok(_) | Err(_) => Ok(Preparation::Here),
        };
        let preparation = match prepared {
            Ok(preparation) => preparation,
            Err(step) => return Ok(step),
        };
        let deployment = match preparation {
            Preparation::Here => deployment,
            Preparation::HandBack => return Ok(Step::HandBack),
            Preparation::Failed(why) => Err(not_started(format!("this machine could not build the deployment: {why}"))),
        };
        let _gate = match &self.run.session {
            Some(session) if stage.holds_session() => {
                let entered = self.unless_ended(shared.sessions.enter(&session.key)).await;
                match entered {
                    Ok(gate) => Some(gate),
                    Err(step) => return Ok(step),
                }
            }
            Some(_) | None => None,
        };
        let session = self.session().await?;
        let plan = self.plan(&session);
        if plan.needs_session && matches!(session, Ok(None)) {
            return self.commit(&plan, RunEvent::SessionDeleted, None, Kept::default()).await;
        }
        // The last moment before which nothing of this attempt exists.
        if shared.draining.is_cancelled() {
            return Ok(Step::HandBack);
        }
        self.life.check()?;
        let begun = self
            .life
            .patiently("begin an attempt", Repeat::Never, || shared.store.begin_attempt(&self.run.id, self.run.epoch, stage));
        let Some(number) = begun.await? else { return Ok(Step::Lost) };
        fail::fail_point!("engine::attempt-begun");

        let known = session.and_then(|secrets| Ok((secrets, deployment?)));
        let (report, told) = match &known {
            Err(failure) => (fault(failure.clone()), None),
            Ok((secrets, deployment)) => {
                let material = Material {
                    run: &self.run,
                    deployment: deployment.as_ref(),
                    secrets: secrets.as_ref(),
                    defaults: &shared.defaults,
                };
                match material.order(stage, number) {
                    Err(error) => (fault(not_started(error.to_string())), None),
                    Ok(order) => {
                        fail::fail_point!("engine::before-execute");
                        self.life.check()?;
                        attempt::execute(&self.life, order, &self.claim_lost).await
                    }
                }
            }
        };
        self.close(&plan, stage, number, report, told).await
    }

    /// Ends an attempt: its log is stored, and one commit carries the transition.
    async fn close(
        &mut self,
        plan: &RunPlan,
        stage: Stage,
        number: AttemptNumber,
        report: AttemptReport,
        told: Option<Told>,
    ) -> Result<Step, Halt> {
        let AttemptReport { end, log, trace } = report;
        if told == Some(Told::LifeOver) {
            // Nothing may be written under this life any more: the attempt stays open, and counts as lost.
            discard(trace).await;
            return Err(Halt::Over);
        }
        let id = AttemptId { run: self.run.id.clone(), number };
        let log = self.store_log(&id, log).await?;
        if told == Some(Told::ClaimLost) {
            self.leave_behind(number, log, trace).await?;
            return Ok(Step::Lost);
        }
        let end = settle(stage, end, told);
        let outcome = match &end {
            AttemptEnd::Failed(failure) => AttemptOutcome::Failed(failure.clone()),
            AttemptEnd::Aborted => AttemptOutcome::Aborted,
            AttemptEnd::Returned { .. } | AttemptEnd::Captured { .. } | AttemptEnd::CheckPassed => AttemptOutcome::Succeeded,
        };
        let close = AttemptClose { number, outcome, log: log.clone(), is_trace_pending: trace.is_some() };
        let step = match self.commit(plan, RunEvent::AttemptEnded(&end), Some(close), kept(&end)).await {
            Ok(step) => step,
            Err(halt) => {
                discard(trace).await;
                return Err(halt);
            }
        };
        match (step, trace) {
            (Step::Lost, trace) => self.leave_behind(number, log, trace).await?,
            (Step::GoOn | Step::HandBack, Some(trace)) => {
                traces::file(&self.life.shared, self.run.workspace.clone(), id, trace);
            }
            (Step::GoOn | Step::HandBack, None) => {}
        }
        Ok(step)
    }

    /// What is left of an attempt whose run was canceled under it: its log is kept, its trace is not.
    async fn leave_behind(
        &self,
        number: AttemptNumber,
        log: Option<StoredBlob>,
        trace: Option<Box<dyn PendingTrace>>,
    ) -> Result<(), Halt> {
        discard(trace).await;
        let Some(log) = log else { return Ok(()) };
        let store = &self.life.shared.store;
        self.life.patiently("file a log", Repeat::Harmless, || store.file_log(&self.run.id, number, log.clone())).await
    }

    /// Asks the machine what follows and commits it. A session that was deleted under a commit is told to the machine, whose
    /// answer is committed instead.
    async fn commit(
        &mut self,
        plan: &RunPlan,
        event: RunEvent<'_>,
        close: Option<AttemptClose>,
        kept: Kept,
    ) -> Result<Step, Halt> {
        let transition = self.run.state.clone().on(plan, event)?;
        if transition.state == self.run.state && transition.effects.is_empty() && close.is_none() {
            return Ok(Step::GoOn);
        }
        let is_candidate_kept = transition.effects.contains(&Effect::KeepCandidate);
        let commit = RunCommit {
            run: self.run.id.clone(),
            epoch: self.run.epoch,
            state: transition.state,
            effects: transition.effects,
            attempt: close,
            candidate: kept.candidate,
            result: kept.result,
            payloads: kept.payloads,
        };
        match self.write(&commit).await? {
            CommitOutcome::Committed => {
                self.run.state = commit.state;
                if is_candidate_kept {
                    self.run.candidate = commit.candidate;
                }
                Ok(Step::GoOn)
            }
            CommitOutcome::Stale => Ok(Step::Lost),
            CommitOutcome::SessionGone => {
                let transition = self.run.state.clone().on(plan, RunEvent::SessionDeleted)?;
                let (state, effects) = (transition.state, transition.effects);
                let commit = RunCommit { state, effects, candidate: None, result: None, payloads: Vec::new(), ..commit };
                match self.write(&commit).await? {
                    CommitOutcome::Committed => {
                        self.run.state = commit.state;
                        Ok(Step::GoOn)
                    }
                    CommitOutcome::Stale | CommitOutcome::SessionGone => Ok(Step::Lost),
                }
            }
        }
    }

    async fn write(&self, commit: &RunCommit) -> Result<CommitOutcome, Halt> {
        fail::fail_point!("engine::before-commit");
        let store = &self.life.shared.store;
        let outcome = self.life.patiently("commit a run", Repeat::Never, || store.commit_run(commit.clone())).await?;
        fail::fail_point!("engine::after-commit");
        Ok(outcome)
    }

    /// The session's secrets; none when the run has no session or it was deleted. Only a store that is not there is waited
    /// for: secrets that do not open are a failure of the attempt.
    async fn session(&self) -> Result<Known<Option<SessionSecrets>>, Halt> {
        let Some(session) = &self.run.session else { return Ok(Ok(None)) };
        let store = &self.life.shared.store;
        known(self.life.patiently("read an AuthSession", Repeat::Harmless, || store.session_secrets(&session.key)).await)
    }

    /// The plan as it can be carried out with what is known of the session.
    fn plan(&self, session: &Known<Option<SessionSecrets>>) -> RunPlan {
        match session {
            Ok(secrets) => feasible_plan(&self.run, secrets.as_ref()),
            Err(_) => self.run.plan,
        }
    }

    async fn deployment(&self) -> Result<Known<Option<Deployment>>, Halt> {
        let id = match deployment_of(&self.run) {
            Ok(id) => id,
            Err(error) => return Ok(Err(not_started(error.to_string()))),
        };
        let store = &self.life.shared.store;
        known(self.life.patiently("read a deployment", Repeat::Harmless, || store.get_deployment(id)).await)
    }

    /// Makes sure that the deployment is on this machine.
    async fn prepare(&self, deployment: &Deployment) -> Result<Preparation, Step> {
        self.unless_ended(prepare(&self.life.shared, deployment)).await
    }

    /// What has to be waited for before an attempt can begin, or what is to be done instead.
    async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T, Step> {
        tokio::select! {
            biased;
            () = self.life.over.cancelled() => Err(Step::Lost),
            () = self.claim_lost.cancelled() => Err(Step::Lost),
            () = self.life.shared.draining.cancelled() => Err(Step::HandBack),
            done = work => Ok(done),
        }
    }

    /// Stores an attempt's log. Without it the attempt still counts; its end is worth more.
    async fn store_log(&self, attempt: &AttemptId, log: Bytes) -> Result<Option<StoredBlob>, Halt> {
        if log.is_empty() {
            return Ok(None);
        }
        let blob = StoredBlob { key: BlobKey::log(attempt), size_bytes: log.len() as u64 };
        let put = tokio::select! {
            biased;
            () = self.life.over.cancelled() => return Err(Halt::Over),
            put = self.life.shared.blobs.put(&self.run.workspace, &blob.key, log) => put,
        };
        match put {
            Ok(()) => Ok(Some(blob)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, attempt = %attempt, "the log of an attempt is lost");
                Ok(None)
            }
        }
    }
}

async fn discard(trace: Option<Box<dyn PendingTrace>>) {
    if let Some(trace) = trace {
        trace.discard().await;
    }
}

/// Hands a run back as its last commit left it, without an attempt.
pub(crate) async fn hand_back(life: &Life, run: &RunRecord) -> Result<(), Halt> {
    let store = &life.shared.store;
    life.patiently("hand a run back", Repeat::Harmless, || store.release_run(&run.id, run.epoch)).await
}

/// Hands a run back after a pause; an attempt that is still open counts as lost when the run is taken again.
pub(crate) async fn hand_back_later(life: &Life, run: &RunRecord) {
    tokio::select! {
        biased;
        () = life.shared.draining.cancelled() => {}
        () = life.over.cancelled() => {}
        () = tokio::time::sleep(REFUSED_PAUSE) => {}
    }
    if let Err(error) = hand_back(life, run).await {
        tracing::warn!(error = &error as &dyn std::error::Error, run = %run.id, "a run was not handed back yet");
    }
}

fn known<T>(read: Result<T, Halt>) -> Result<Known<T>, Halt> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(Halt::Store(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "what an attempt needs cannot be read");
            Ok(Err(not_started(error.to_string())))
        }
        Err(error @ (Halt::Stopped | Halt::Over | Halt::Unknown(_) | Halt::Machine(_))) => Err(error),
    }
}

fn fault(failure: AttemptFailure) -> AttemptReport {
    AttemptReport { end: AttemptEnd::Failed(failure), log: Bytes::new(), trace: None }
}

fn kept(end: &AttemptEnd) -> Kept {
    match end {
        AttemptEnd::Returned { result, payloads } => {
            Kept { candidate: None, result: Some(result.clone()), payloads: payloads.clone() }
        }
        AttemptEnd::Captured { state } => Kept { candidate: Some(state.clone()), ..Kept::default() },
        AttemptEnd::CheckPassed | AttemptEnd::Failed(_) | AttemptEnd::Aborted => Kept::default(),
    }
}
