//! Tables of the login's life, and properties over random sequences of events.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Attempts, Secret};

fn plan(kind: RunKind, create: i64, check: i64, api: i64, may_recreate: bool) -> RunPlan {
    RunPlan {
        kind,
        budgets: Budgets {
            create: Attempts::new(create).unwrap(),
            check: Attempts::new(check).unwrap(),
            api: Attempts::new(api).unwrap(),
        },
        may_recreate,
        needs_session: true,
    }
}

fn failure(code: AttemptCode) -> AttemptEnd {
    let is_ours = code == AttemptCode::InternalServerError;
    AttemptEnd::Failed(AttemptFailure { code, message: "why".to_owned(), is_retryable: true, is_counted: !is_ours })
}

fn captured() -> AttemptEnd {
    AttemptEnd::Captured { state: Secret::new(json!({})) }
}

fn returned() -> AttemptEnd {
    AttemptEnd::Returned { result: json!(1), payloads: Vec::new() }
}

/// Plays ends one after the other and says where the run stands and every effect on the way.
fn play(plan: &RunPlan, standing: SessionStanding, ends: &[AttemptEnd]) -> (RunState, Vec<Effect>) {
    let first = RunState::Pending.on(plan, RunEvent::Begin(standing)).unwrap();
    let (mut state, mut effects) = (first.state, first.effects);
    for end in ends {
        let next = state.on(plan, RunEvent::AttemptEnded(end)).unwrap();
        state = next.state;
        effects.extend(next.effects);
    }
    (state, effects)
}

#[test]
fn a_login_is_ready_only_after_its_own_check() {
    let plan = plan(RunKind::Create, 3, 3, 3, false);
    let (state, effects) = play(&plan, SessionStanding::WithoutState, &[captured()]);
    assert_eq!(state, RunState::Started(Progress::entering(Stage::PostCheck)));
    assert_eq!(effects, [Effect::KeepCandidate]);
    let (state, effects) = play(&plan, SessionStanding::WithoutState, &[captured(), AttemptEnd::CheckPassed]);
    assert_eq!(state, RunState::Completed);
    assert_eq!(effects, [Effect::KeepCandidate, Effect::AdoptCandidate]);
}

#[test]
fn each_stage_ends_with_its_own_code() {
    use AttemptCode::{AuthCheckFailed, ScriptExecutionException};
    let check = || failure(AuthCheckFailed);
    let throw = || failure(ScriptExecutionException);
    for (kind, recreate, standing, ends, code, count) in [
        (RunKind::Create, false, SessionStanding::WithoutState, vec![throw(), throw()], RunCode::CreateAttemptsFailed, 2),
        (
            RunKind::Create,
            false,
            SessionStanding::WithState,
            vec![captured(), check(), check()],
            RunCode::PostCreateCheckAttemptsFailed,
            2,
        ),
        (RunKind::Validate, false, SessionStanding::WithState, vec![check(), check()], RunCode::CheckAttemptsFailed, 2),
        (
            RunKind::Validate,
            true,
            SessionStanding::WithState,
            vec![check(), check(), throw(), throw()],
            RunCode::CreateAttemptsFailed,
            2,
        ),
    ] {
        let (state, _) = play(&plan(kind, 2, 2, 2, recreate), standing, &ends);
        let RunState::Failed(failure) = state else { panic!("{kind:?} should have failed, is {state:?}") };
        assert_eq!((failure.code, failure.attempts_count), (code, count));
    }
}

#[test]
fn a_run_whose_login_cannot_be_had_is_canceled_and_its_code_never_started() {
    let plan = plan(RunKind::Api, 1, 1, 3, true);
    let ends = [failure(AttemptCode::AuthCheckFailed), failure(AttemptCode::ScriptTimeout)];
    let (state, effects) = play(&plan, SessionStanding::WithState, &ends);
    let RunState::Canceled(RunReason::SessionDependency(dependency)) = state else { panic!("{state:?}") };
    assert_eq!(dependency.cause, RunCode::CreateAttemptsFailed);
    assert_eq!(effects, [Effect::MarkExpired]);
}

#[test]
fn a_failed_update_leaves_the_session_as_it_was() {
    let (state, effects) =
        play(&plan(RunKind::Update, 1, 1, 1, false), SessionStanding::WithState, &[failure(AttemptCode::ScriptTimeout)]);
    assert!(matches!(state, RunState::Failed(_)));
    assert_eq!(effects, [Effect::MarkExpiredIfNew]);
}

#[test]
fn our_own_faults_do_not_use_up_attempts_but_end_the_run_after_three() {
    let plan = plan(RunKind::Api, 1, 1, 1, false);
    let lost = || failure(AttemptCode::InternalServerError);
    let (state, _) = play(&plan, SessionStanding::WithState, &[AttemptEnd::CheckPassed, lost(), lost(), returned()]);
    assert_eq!(state, RunState::Completed);
    let (state, _) = play(&plan, SessionStanding::WithState, &[AttemptEnd::CheckPassed, lost(), lost(), lost()]);
    let RunState::Failed(failure) = state else { panic!("{state:?}") };
    assert_eq!((failure.code, failure.code.is_retryable()), (RunCode::InternalServerError, true));
}

#[test]
fn a_non_retryable_failure_ends_the_stage_at_once() {
    let end = AttemptEnd::Failed(AttemptFailure {
        code: AttemptCode::ScriptExecutionException,
        message: "no".to_owned(),
        is_retryable: false,
        is_counted: true,
    });
    let no_session = RunPlan { needs_session: false, ..plan(RunKind::Api, 3, 3, 3, false) };
    let (state, _) = play(&no_session, SessionStanding::Missing, &[end]);
    let RunState::Failed(failure) = state else { panic!("{state:?}") };
    assert_eq!((failure.code, failure.attempts_count), (RunCode::ApiAttemptsFailed, 1));
}

#[test]
fn a_terminal_run_takes_no_event() {
    let plan = plan(RunKind::Api, 1, 1, 1, false);
    for event in [RunEvent::WorkerLost, RunEvent::SessionDeleted, RunEvent::Cancel(&RunReason::UserAction)] {
        assert!(RunState::Completed.on(&plan, event).is_err());
    }
}

fn any_end() -> impl Strategy<Value = usize> {
    0_usize..6
}

proptest! {
    #[test]
    fn every_run_ends_and_keeps_its_budgets(
        kind in prop_oneof![Just(RunKind::Api), Just(RunKind::Create), Just(RunKind::Update), Just(RunKind::Validate)],
        create in 1_i64..5, check in 1_i64..5, api in 1_i64..5,
        recreate in any::<bool>(), with_state in any::<bool>(),
        ends in prop::collection::vec(any_end(), 200),
    ) {
        let plan = plan(kind, create, check, api, recreate);
        let standing = if with_state { SessionStanding::WithState } else { SessionStanding::WithoutState };
        let mut state = RunState::Pending.on(&plan, RunEvent::Begin(standing)).unwrap().state;
        let (mut counted, mut check_passed, mut api_started, mut adopted) = ([0_u32; 4], false, false, 0);
        for choice in ends {
            let RunState::Started(progress) = state.clone() else { break };
            let index = match progress.stage { Stage::Check => 0, Stage::Create => 1, Stage::PostCheck => 2, Stage::Api => 3 };
            if progress.stage == Stage::Api {
                api_started = true;
            }
            let end = match (choice, progress.stage) {
                (0, Stage::Check | Stage::PostCheck) => { check_passed = true; AttemptEnd::CheckPassed }
                (0, Stage::Create) => captured(),
                (0, Stage::Api) => returned(),
                (1, _) => failure(AttemptCode::InternalServerError),
                (2, _) => failure(AttemptCode::ScriptTimeout),
                (_, _) => failure(AttemptCode::AuthCheckFailed),
            };
            let is_counted = !matches!(&end, AttemptEnd::Failed(failure) if !failure.is_counted);
            counted[index] += u32::from(is_counted);
            let next = state.on(&plan, RunEvent::AttemptEnded(&end)).unwrap();
            adopted += next.effects.iter().filter(|effect| **effect == Effect::AdoptCandidate).count();
            state = next.state;
        }
        prop_assert!(state.is_terminal(), "200 events must be enough: {state:?}");
        let limits = [check, create, check, api].map(|limit| u32::try_from(limit).unwrap());
        for (used, limit) in counted.iter().zip(limits) {
            prop_assert!(*used <= limit, "{counted:?} over {limits:?}");
        }
        prop_assert!(!api_started || check_passed, "the API's code started without a passed check");
        prop_assert!(adopted <= 1);
        prop_assert!(adopted == 0 || check_passed);
    }
}
