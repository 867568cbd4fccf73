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
use keywright_store::{AttemptClose, AttemptOutcome, BlobKey, CommitOutcome, Deployment, RunCommit, RunRecord, SessionSecrets};
use serde_json::Value;

use crate::backoff::{Halt, patiently};
use crate::ends::{Told, not_started, settle};
use crate::login::{feasible_plan, standing};
use crate::order::{Material, deployment_of};
use crate::shared::Shared;
use crate::{AttemptReport, PendingTrace, attempt, traces};

/// Before a run that the store refused for good is handed back, to be tried from its last commit. Keeps a bug from becoming
/// a flood.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Leads one claimed run.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    run: RunRecord,
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The run is where its record says.
    GoOn,
    /// The claim does not hold any more.
    Lost,
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
    pub(crate) const fn new(shared: Arc<Shared>, run: RunRecord) -> Self {
        Self { shared, run }
    }

    /// Leads the run until it has ended, its claim is lost, or the engine drains.
    pub(crate) async fn drive(mut self) {
        match self.lead().await {
            Ok(()) => {}
            // The next life frees the claim and finds the run as its last commit left it.
            Err(Halt::Stopped) => tracing::warn!(run = %self.run.id, "the store was not available until the end"),
            Err(error @ (Halt::Store(_) | Halt::Machine(_))) => {
                tracing::error!(error = &error as &dyn std::error::Error, run = %self.run.id, "a run cannot go on from here");
                hand_back_later(&self.shared, &self.run).await;
            }
        }
    }

    async fn lead(&mut self) -> Result<(), Halt> {
        if self.shared.draining.is_cancelled() {
            return hand_back(&self.shared, &self.run).await;
        }
        let mut step = self.enter().await?;
        while step == Step::GoOn {
            let stage = match &self.run.state {
                RunState::Started(progress) => progress.stage,
                state @ (RunState::Pending | RunState::Completed | RunState::Failed(_) | RunState::Canceled(_)) => {
                    let (kind, state) = (self.run.plan.kind.as_str(), state.as_str());
                    tracing::info!(run = %self.run.id, kind, state, "a run has ended");
                    return Ok(());
                }
            };
            if self.shared.draining.is_cancelled() {
                return hand_back(&self.shared, &self.run).await;
            }
            step = self.attempt(stage).await?;
        }
        Ok(())
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
        let event = if is_gone { RunEvent::SessionDeleted } else { RunEvent::WorkerLost };
        let outcome = AttemptOutcome::Failed(AttemptFailure::worker_lost());
        let close = AttemptClose { number, outcome, log_blob: None, is_trace_pending: false };
        self.commit(&plan, event, Some(close), Kept::default()).await
    }

    /// Makes one attempt of the stage.
    async fn attempt(&mut self, stage: Stage) -> Result<Step, Halt> {
        let shared = Arc::clone(&self.shared);
        let _gate = match &self.run.session {
            Some(session) if stage.holds_session() => tokio::select! {
                gate = shared.gates.enter(&session.key) => Some(gate),
                () = shared.draining.cancelled() => return Ok(Step::GoOn),
            },
            Some(_) | None => None,
        };
        let session = self.session().await?;
        let plan = self.plan(&session);
        if plan.needs_session && matches!(session, Ok(None)) {
            return self.commit(&plan, RunEvent::SessionDeleted, None, Kept::default()).await;
        }
        let deployment = self.deployment().await?;

        let commits = shared.store.signals().subscribe();
        let begun = patiently("begin an attempt", &shared.stopping, || {
            shared.store.begin_attempt(&self.run.id, self.run.epoch, stage, shared.clock.now())
        });
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
                        attempt::execute(&shared, order, self.run.epoch, commits).await
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
        let id = AttemptId { run: self.run.id.clone(), number };
        let log_blob = self.store_log(&id, log).await;
        if told == Some(Told::ClaimLost) {
            self.leave_behind(number, log_blob, trace).await?;
            return Ok(Step::Lost);
        }
        let end = settle(stage, end, told);
        let outcome = match &end {
            AttemptEnd::Failed(failure) => AttemptOutcome::Failed(failure.clone()),
            AttemptEnd::Aborted => AttemptOutcome::Aborted,
            AttemptEnd::Returned { .. } | AttemptEnd::Captured { .. } | AttemptEnd::CheckPassed => AttemptOutcome::Succeeded,
        };
        let close = AttemptClose { number, outcome, log_blob: log_blob.clone(), is_trace_pending: trace.is_some() };
        let step = self.commit(plan, RunEvent::AttemptEnded(&end), Some(close), kept(&end)).await?;
        match (step, trace) {
            (Step::Lost, trace) => self.leave_behind(number, log_blob, trace).await?,
            (Step::GoOn, Some(trace)) => traces::file(&self.shared, self.run.workspace.clone(), id, trace),
            (Step::GoOn, None) => {}
        }
        Ok(step)
    }

    /// What is left of an attempt whose run was canceled under it: its log is kept, its trace is not.
    async fn leave_behind(
        &self,
        number: AttemptNumber,
        log_blob: Option<BlobKey>,
        trace: Option<Box<dyn PendingTrace>>,
    ) -> Result<(), Halt> {
        if let Some(trace) = trace {
            trace.discard().await;
        }
        let Some(blob) = log_blob else { return Ok(()) };
        let store = &self.shared.store;
        patiently("file a log", &self.shared.stopping, || store.file_log(&self.run.id, number, blob.clone())).await
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
            now: self.shared.clock.now(),
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
        let store = &self.shared.store;
        let outcome = patiently("commit a run", &self.shared.stopping, || store.commit_run(commit.clone())).await?;
        fail::fail_point!("engine::after-commit");
        Ok(outcome)
    }

    /// The session's secrets; none when the run has no session or it was deleted. Only a store that is not there is waited
    /// for: secrets that do not open are a failure of the attempt.
    async fn session(&self) -> Result<Known<Option<SessionSecrets>>, Halt> {
        let Some(session) = &self.run.session else { return Ok(Ok(None)) };
        let store = &self.shared.store;
        known(patiently("read an AuthSession", &self.shared.stopping, || store.session_secrets(&session.key)).await)
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
        let store = &self.shared.store;
        known(patiently("read a deployment", &self.shared.stopping, || store.get_deployment(id)).await)
    }

    /// Stores an attempt's log. Without it the attempt still counts; its end is worth more.
    async fn store_log(&self, attempt: &AttemptId, log: Bytes) -> Option<BlobKey> {
        if log.is_empty() {
            return None;
        }
        let key = BlobKey::log(attempt);
        match self.shared.blobs.put(&self.run.workspace, &key, log).await {
            Ok(()) => Some(key),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, attempt = %attempt, "the log of an attempt is lost");
                None
            }
        }
    }
}

/// Hands a run back as its last commit left it, without an attempt.
pub(crate) async fn hand_back(shared: &Shared, run: &RunRecord) -> Result<(), Halt> {
    patiently("hand a run back", &shared.stopping, || shared.store.release_run(&run.id, run.epoch)).await
}

/// Hands a run back after a pause; an attempt that is still open counts as lost when the run is taken again.
pub(crate) async fn hand_back_later(shared: &Shared, run: &RunRecord) {
    tokio::select! {
        () = shared.draining.cancelled() => {}
        () = tokio::time::sleep(REFUSED_PAUSE) => {}
    }
    if let Err(error) = hand_back(shared, run).await {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, run = %run.id, "a run could not be handed back; the next start takes it up");
    }
}

fn known<T>(read: Result<T, Halt>) -> Result<Known<T>, Halt> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(Halt::Store(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "what an attempt needs cannot be read");
            Ok(Err(not_started(error.to_string())))
        }
        Err(error @ (Halt::Stopped | Halt::Machine(_))) => Err(error),
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
