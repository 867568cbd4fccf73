//! The life of a run as a pure state machine: which stage comes next, when the budget of a stage is used up, and what
//! each end means for the session and for the caller.
//!
//! A run of an API that needs a login goes check → (create → post-check) → API; an operation on an AuthSession is the same
//! machine without the last stage. The machine never reads a clock, never touches a store and never starts anything: it
//! takes the state and an event and returns the next state with the effects that must be committed together with it. If
//! the process dies between two events, the stored state is simply the one before the event.

use thiserror::Error;

use crate::{AttemptCode, AttemptEnd, AttemptFailure, Budgets, Category, RunCode, Stage};

/// Attempts in a row that may be lost to our own faults before the run is given up.
const MAX_LOST_IN_A_ROW: u32 = 3;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// One execution of an API.
    Api,
    /// Make a session, or make it again under the same name with new input.
    Create,
    /// Replace an existing session's input and state.
    Update,
    /// Check a session and, where allowed, log in again.
    Validate,
}

impl RunKind {
    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Create => "create",
            Self::Update => "update",
            Self::Validate => "validate",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Api, Self::Create, Self::Update, Self::Validate].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What does not change during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPlan {
    /// What was asked for.
    pub kind: RunKind,
    /// How often each stage may be tried.
    pub budgets: Budgets,
    /// Whether a failed check may be answered by a new login.
    pub may_recreate: bool,
    /// Whether the run needs a session at all.
    pub needs_session: bool,
}

/// What the session looks like when a run reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStanding {
    /// It is not there any more.
    Missing,
    /// It has a state that a check can be tried on.
    WithState,
    /// It has none: its first login never succeeded, or this run is the first to bring its input.
    WithoutState,
}

/// Where a started run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Counted attempts of this stage so far.
    pub used: u32,
    /// Attempts lost in a row to our own faults, before user code started.
    pub lost_in_row: u32,
    /// Whether any attempt of this stage failed by something that is not our fault.
    pub saw_user_fault: bool,
}

impl Progress {
    const fn entering(stage: Stage) -> Self {
        Self { stage, used: 0, lost_in_row: 0, saw_user_fault: false }
    }
}

/// Why a run or operation failed: the wrapper around its last attempt's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFailure {
    /// The closed reason.
    pub code: RunCode,
    /// One line for a person.
    pub message: String,
    /// Counted attempts of the stage that failed.
    pub attempts_count: u32,
    /// How the last of them failed; none when not one was made.
    pub last_error: Option<AttemptFailure>,
}

impl RunFailure {
    /// Who has to act.
    #[must_use]
    pub const fn category(&self) -> Category {
        self.code.category()
    }
}

/// Why a run's login could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The closed cause.
    pub cause: RunCode,
    /// One line for a person.
    pub message: String,
    /// Counted attempts of the stage that failed; 0 when none was made.
    pub attempts_count: u32,
    /// How the last of them failed.
    pub last_error: Option<AttemptFailure>,
}

/// Why a run was stopped without having failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunReason {
    /// Its login could not be had; the API's code never started.
    SessionDependency(Dependency),
    /// Somebody canceled it.
    UserAction,
    /// The project was deployed with access over the API switched off.
    ApiAccessDisabled,
}

/// The state of a run. Every variant carries what only it has; results are kept beside it, not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Accepted and durable. The engine takes it; a crash leaves it here.
    Pending,
    /// Taken at least once. A crash leaves it here, with its progress, to be taken again.
    Started(Progress),
    /// Ended with a result or, for an operation, with a session that passed its check.
    Completed,
    /// Ended without.
    Failed(RunFailure),
    /// Stopped.
    Canceled(RunReason),
}

impl RunState {
    /// Whether nothing can change any more.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Pending | Self::Started(_) => false,
            Self::Completed | Self::Failed(_) | Self::Canceled(_) => true,
        }
    }

    /// The form on the wire and in the database.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Started(_) => "started",
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Canceled(_) => "canceled",
        }
    }
}

/// Something that happened to a run.
#[derive(Clone, Copy, Debug)]
pub enum RunEvent<'a> {
    /// A worker took it and looked at its session.
    Begin(SessionStanding),
    /// An attempt ended.
    AttemptEnded(&'a AttemptEnd),
    /// The worker was lost while an attempt was open. The attempt counts: user code may have run.
    WorkerLost,
    /// The session was deleted between two attempts.
    SessionDeleted,
    /// It waited for its session longer than it may.
    SessionLocked,
    /// Somebody canceled it.
    Cancel(&'a RunReason),
}

/// What must be committed together with the new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep the captured state beside the run; it is not the session's yet.
    KeepCandidate,
    /// The candidate passed its check: it becomes the session's next generation, with the input that made it.
    AdoptCandidate,
    /// A check on the session's state passed.
    MarkReady,
    /// The session has no state that holds and could not be healed.
    MarkExpired,
    /// A first login failed: the session stays, without state, so that it can be updated.
    MarkExpiredIfNew,
    /// Keep the API's result.
    KeepResult,
}

/// A state and what belongs to reaching it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The next state.
    pub state: RunState,
    /// To be committed with it.
    pub effects: Vec<Effect>,
}

/// An event that cannot happen in that state: a bug in whoever sent it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a {from} run cannot take the event {event}")]
pub struct InvalidTransition {
    /// The state it was in.
    pub from: &'static str,
    /// The event.
    pub event: &'static str,
}

impl RunState {
    /// The next state after `event`.
    ///
    /// # Errors
    /// When the event cannot happen in this state. A terminal state takes no event at all.
    pub fn on(self, plan: &RunPlan, event: RunEvent<'_>) -> Result<Transition, InvalidTransition> {
        match (self, event) {
            (Self::Pending, RunEvent::Begin(standing)) => Ok(begin(plan, standing)),
            // A run that was taken before goes on where it was; only a session that went away meanwhile changes that.
            (Self::Started(progress), RunEvent::Begin(standing)) => {
                if progress.stage.holds_session() && standing == SessionStanding::Missing {
                    return Ok(session_gone());
                }
                Ok(Transition { state: Self::Started(progress), effects: Vec::new() })
            }
            (Self::Started(progress), RunEvent::AttemptEnded(end)) => ended(plan, progress, end),
            (Self::Started(progress), RunEvent::WorkerLost) => Ok(failed_once(plan, progress, &AttemptFailure::worker_lost())),
            (Self::Pending | Self::Started(_), RunEvent::SessionDeleted) => Ok(session_gone()),
            (Self::Pending, RunEvent::SessionLocked) => Ok(canceled_for_login(Dependency {
                cause: RunCode::AuthSessionLocked,
                message: "another run held the AuthSession for longer than this run may wait".to_owned(),
                attempts_count: 0,
                last_error: None,
            })),
            (state @ (Self::Pending | Self::Started(_)), RunEvent::Cancel(reason)) => {
                let effects = if is_recreating(plan, &state) { vec![Effect::MarkExpired] } else { abandoned(plan) };
                Ok(Transition { state: Self::Canceled(reason.clone()), effects })
            }
            (state @ Self::Pending, event @ (RunEvent::AttemptEnded(_) | RunEvent::WorkerLost))
            | (state @ Self::Started(_), event @ RunEvent::SessionLocked)
            | (state @ (Self::Completed | Self::Failed(_) | Self::Canceled(_)), event) => {
                Err(InvalidTransition { from: state.as_str(), event: event.name() })
            }
        }
    }
}

impl RunEvent<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::AttemptEnded(_) => "attempt ended",
            Self::WorkerLost => "worker lost",
            Self::SessionDeleted => "session deleted",
            Self::SessionLocked => "session locked",
            Self::Cancel(_) => "cancel",
        }
    }
}

fn begin(plan: &RunPlan, standing: SessionStanding) -> Transition {
    if !plan.needs_session {
        return entering(Stage::Api);
    }
    match (plan.kind, standing) {
        (_, SessionStanding::Missing) => session_gone(),
        (RunKind::Create | RunKind::Update, SessionStanding::WithState | SessionStanding::WithoutState) => {
            entering(Stage::Create)
        }
        (RunKind::Api | RunKind::Validate, SessionStanding::WithState) => entering(Stage::Check),
        (RunKind::Api | RunKind::Validate, SessionStanding::WithoutState) if plan.may_recreate => entering(Stage::Create),
        (RunKind::Api | RunKind::Validate, SessionStanding::WithoutState) => login_failed(
            plan,
            RunFailure {
                code: RunCode::CheckAttemptsFailed,
                message: "the AuthSession has no state to check and may not be created again".to_owned(),
                attempts_count: 0,
                last_error: None,
            },
            vec![Effect::MarkExpired],
        ),
    }
}

fn ended(plan: &RunPlan, progress: Progress, end: &AttemptEnd) -> Result<Transition, InvalidTransition> {
    match (progress.stage, end) {
        (_, AttemptEnd::Failed(failure)) => Ok(failed_once(plan, progress, failure)),
        (Stage::Check, AttemptEnd::CheckPassed) => Ok(logged_in(plan, Effect::MarkReady)),
        (Stage::PostCheck, AttemptEnd::CheckPassed) => Ok(logged_in(plan, Effect::AdoptCandidate)),
        (Stage::Create, AttemptEnd::Captured { .. }) => Ok(Transition {
            state: RunState::Started(Progress::entering(Stage::PostCheck)),
            effects: vec![Effect::KeepCandidate],
        }),
        (Stage::Api, AttemptEnd::Returned { .. }) => {
            Ok(Transition { state: RunState::Completed, effects: vec![Effect::KeepResult] })
        }
        // The cancellation is committed before the attempt is aborted, so an aborted attempt never decides anything. An
        // end that belongs to another stage is a bug of the executor.
        (_, AttemptEnd::Aborted | AttemptEnd::CheckPassed | AttemptEnd::Captured { .. } | AttemptEnd::Returned { .. }) => {
            Err(InvalidTransition { from: progress.stage.as_str(), event: "an end of another stage" })
        }
    }
}

fn logged_in(plan: &RunPlan, effect: Effect) -> Transition {
    let state = match plan.kind {
        RunKind::Api => RunState::Started(Progress::entering(Stage::Api)),
        RunKind::Create | RunKind::Update | RunKind::Validate => RunState::Completed,
    };
    Transition { state, effects: vec![effect] }
}

fn failed_once(plan: &RunPlan, progress: Progress, failure: &AttemptFailure) -> Transition {
    let next = Progress {
        used: progress.used + u32::from(failure.is_counted),
        lost_in_row: if failure.is_counted { 0 } else { progress.lost_in_row + 1 },
        saw_user_fault: progress.saw_user_fault || failure.code != AttemptCode::InternalServerError,
        stage: progress.stage,
    };
    let is_given_up = next.lost_in_row >= MAX_LOST_IN_A_ROW;
    let is_used_up = next.used >= budget(plan, next.stage);
    if failure.is_retryable && !is_given_up && !is_used_up {
        return Transition { state: RunState::Started(next), effects: Vec::new() };
    }
    if next.stage == Stage::Check && !is_given_up && plan.may_recreate {
        return entering(Stage::Create);
    }
    stage_failed(plan, &next, failure)
}

fn stage_failed(plan: &RunPlan, progress: &Progress, last: &AttemptFailure) -> Transition {
    let is_ours = !progress.saw_user_fault;
    let code = match (is_ours, progress.stage) {
        (true, _) => RunCode::InternalServerError,
        (false, Stage::Check) => RunCode::CheckAttemptsFailed,
        (false, Stage::Create) => RunCode::CreateAttemptsFailed,
        (false, Stage::PostCheck) => RunCode::PostCreateCheckAttemptsFailed,
        (false, Stage::Api) => RunCode::ApiAttemptsFailed,
    };
    let failure = RunFailure {
        code,
        message: format!("{}: {}", summary(progress), last.message),
        attempts_count: progress.used,
        last_error: Some(last.clone()),
    };
    match progress.stage {
        Stage::Api => Transition { state: RunState::Failed(failure), effects: Vec::new() },
        // A check that could not even be tried says nothing about the session.
        Stage::Check if is_ours => login_failed(plan, failure, Vec::new()),
        Stage::Check => login_failed(plan, failure, vec![Effect::MarkExpired]),
        Stage::Create | Stage::PostCheck => {
            let effects = match plan.kind {
                RunKind::Create | RunKind::Update => abandoned(plan),
                RunKind::Api | RunKind::Validate => vec![Effect::MarkExpired],
            };
            login_failed(plan, failure, effects)
        }
    }
}

/// The end of a run whose login cannot be had: an operation failed, a run of an API is canceled because it never ran.
fn login_failed(plan: &RunPlan, failure: RunFailure, effects: Vec<Effect>) -> Transition {
    match plan.kind {
        RunKind::Create | RunKind::Update | RunKind::Validate => Transition { state: RunState::Failed(failure), effects },
        RunKind::Api => {
            let RunFailure { code, message, attempts_count, last_error } = failure;
            let dependency = Dependency { cause: code, message, attempts_count, last_error };
            Transition { effects, ..canceled_for_login(dependency) }
        }
    }
}

fn canceled_for_login(dependency: Dependency) -> Transition {
    Transition { state: RunState::Canceled(RunReason::SessionDependency(dependency)), effects: Vec::new() }
}

fn session_gone() -> Transition {
    canceled_for_login(Dependency {
        cause: RunCode::AuthSessionNotFound,
        message: "the AuthSession does not exist any more".to_owned(),
        attempts_count: 0,
        last_error: None,
    })
}

/// A create or update that ends without success leaves what was there before; only a session that never had a state is
/// marked, so that it does not look as if it were still being made.
fn abandoned(plan: &RunPlan) -> Vec<Effect> {
    match plan.kind {
        RunKind::Create | RunKind::Update => vec![Effect::MarkExpiredIfNew],
        RunKind::Api | RunKind::Validate => Vec::new(),
    }
}

fn is_recreating(plan: &RunPlan, state: &RunState) -> bool {
    let is_logging_in = matches!(state, RunState::Started(Progress { stage: Stage::Create | Stage::PostCheck, .. }));
    is_logging_in && matches!(plan.kind, RunKind::Api | RunKind::Validate)
}

fn entering(stage: Stage) -> Transition {
    Transition { state: RunState::Started(Progress::entering(stage)), effects: Vec::new() }
}

const fn budget(plan: &RunPlan, stage: Stage) -> u32 {
    match stage {
        Stage::Check | Stage::PostCheck => plan.budgets.check.get(),
        Stage::Create => plan.budgets.create.get(),
        Stage::Api => plan.budgets.api.get(),
    }
}

fn summary(progress: &Progress) -> String {
    let what = match progress.stage {
        Stage::Check => "the check",
        Stage::Create => "the login",
        Stage::PostCheck => "the check after the login",
        Stage::Api => "the API",
    };
    match progress.used {
        0 => format!("{what} could not be started"),
        1 => format!("{what} failed after 1 attempt"),
        used => format!("{what} failed after {used} attempts"),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
