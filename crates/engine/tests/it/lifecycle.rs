//! The rows of the login's life: what was asked, what the site saw, how it ended.

use std::sync::Arc;

use keywright_domain::{AttemptCode, RunCode, RunKind, RunReason, RunState, SessionStatus, Stage};
use keywright_store::AttemptOutcome;
use serde_json::json;
use tokio::sync::Notify;

use crate::script::{Act, check_fails, failure, throws};
use crate::world::{Ask, World, in_time};

const CREATE: Ask = Ask::new(RunKind::Create);
const UPDATE: Ask = Ask::new(RunKind::Update);
const VALIDATE: Ask = Ask::new(RunKind::Validate);
const API: Ask = Ask::new(RunKind::Api);

fn failed_with(state: &RunState) -> (RunCode, u32, Option<AttemptCode>) {
    let RunState::Failed(failure) = state else { panic!("{state:?}") };
    (failure.code, failure.attempts_count, failure.last_error.as_ref().map(|last| last.code))
}

fn canceled_for(state: &RunState) -> RunCode {
    let RunState::Canceled(RunReason::SessionDependency(dependency)) = state else { panic!("{state:?}") };
    dependency.cause
}

#[tokio::test]
async fn a_login_becomes_the_sessions_state_after_its_own_check() {
    let world = World::new();
    let server = world.start().await;
    let (run, state) = server.finish(CREATE).await;
    assert_eq!(state, RunState::Completed);
    assert_eq!(world.site.stages(&run), [Stage::Create, Stage::PostCheck]);
    assert_eq!(server.session("ada").await, (SessionStatus::Ready, 1));
    let visits = world.site.visits();
    assert_eq!(visits[0].parameters, Some(json!({"password": format!("password of {run}")})));
    assert_eq!(visits[0].state, None);
    assert_eq!(visits[1].state, Some(json!({"version": 1, "login": 1})));
    assert!(server.attempts(&run).await.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::Succeeded)));
}

#[tokio::test]
async fn a_login_that_never_succeeds_fails_with_its_code_and_the_session_can_be_updated() {
    let world = World::new();
    let server = world.start().await;
    world.site.script(Stage::Create, [throws(), failure(AttemptCode::ScriptTimeout)]);
    let (run, state) = server.finish(CREATE).await;
    assert_eq!(failed_with(&state), (RunCode::CreateAttemptsFailed, 2, Some(AttemptCode::ScriptTimeout)));
    assert_eq!(world.site.stages(&run), [Stage::Create, Stage::Create]);
    assert_eq!(server.session("ada").await, (SessionStatus::Expired, 0));
    assert_eq!(server.finish(UPDATE).await.1, RunState::Completed);
    assert_eq!(server.session("ada").await, (SessionStatus::Ready, 1));
}

#[tokio::test]
async fn a_login_whose_check_never_passes_is_not_adopted() {
    let world = World::new();
    let server = world.start().await;
    world.site.script(Stage::PostCheck, [check_fails(), check_fails()]);
    let (run, state) = server.finish(CREATE).await;
    assert_eq!(failed_with(&state), (RunCode::PostCreateCheckAttemptsFailed, 2, Some(AttemptCode::AuthCheckFailed)));
    assert_eq!(world.site.stages(&run), [Stage::Create, Stage::PostCheck, Stage::PostCheck]);
    assert_eq!(server.session("ada").await, (SessionStatus::Expired, 0));
}

#[tokio::test]
async fn a_failed_update_leaves_the_old_login_in_force() {
    let world = World::new();
    let server = world.start().await;
    server.finish(CREATE).await;
    world.site.script(Stage::PostCheck, [check_fails(), check_fails()]);
    let (_, state) = server.finish(UPDATE).await;
    assert_eq!(failed_with(&state).0, RunCode::PostCreateCheckAttemptsFailed);
    assert_eq!(server.session("ada").await, (SessionStatus::Ready, 1));
    assert_eq!(server.login_of("ada").await, Some(json!(1)));
}

#[tokio::test]
async fn a_flaky_check_is_tried_again_without_a_new_login() {
    let world = World::new();
    let server = world.start().await;
    server.finish(CREATE).await;
    world.site.script(Stage::Check, [check_fails()]);
    let (run, state) = server.finish(VALIDATE).await;
    assert_eq!(state, RunState::Completed);
    assert_eq!(world.site.stages(&run), [Stage::Check, Stage::Check]);
    assert_eq!(server.session("ada").await, (SessionStatus::Ready, 1));
}

#[tokio::test]
async fn a_dead_login_heals_on_the_way_to_the_api() {
    let world = World::new();
    let server = world.start().await;
    let (created, _) = server.finish(CREATE).await;
    world.site.script(Stage::Check, [check_fails(), check_fails()]);
    let (run, state) = server.finish(API).await;
    assert_eq!(state, RunState::Completed);
    assert_eq!(world.site.stages(&run), [Stage::Check, Stage::Check, Stage::Create, Stage::PostCheck, Stage::Api]);
    assert_eq!(server.output(&run).await.result, Some(json!({"ok": true})));
    let visits: Vec<_> = world.site.visits().into_iter().filter(|visit| visit.run == run).collect();
    assert_eq!(visits[2].parameters, Some(json!({"password": format!("password of {created}")})));
    assert_eq!(visits[4].state, Some(json!({"version": 1, "login": 2})));
    assert_eq!(server.session("ada").await, (SessionStatus::Ready, 2));
}

#[tokio::test]
async fn a_dead_login_that_may_not_be_renewed_expires() {
    let world = World::new();
    let server = world.start().await;
    server.finish(CREATE).await;
    world.site.script(Stage::Check, [check_fails(), check_fails()]);
    let (_, state) = server.finish(Ask { may_recreate: false, ..VALIDATE }).await;
    assert_eq!(failed_with(&state), (RunCode::CheckAttemptsFailed, 2, Some(AttemptCode::AuthCheckFailed)));
    assert_eq!(server.session("ada").await, (SessionStatus::Expired, 1));
}

#[tokio::test]
async fn a_run_whose_login_cannot_be_had_is_canceled_and_its_api_never_starts() {
    let world = World::new();
    let server = world.start().await;
    server.finish(CREATE).await;
    world.site.script(Stage::Check, [check_fails(), check_fails()]);
    world.site.script(Stage::Create, [throws(), throws()]);
    let (run, state) = server.finish(API).await;
    assert_eq!(canceled_for(&state), RunCode::CreateAttemptsFailed);
    assert_eq!(world.site.count(Stage::Api), 0);
    assert_eq!(server.output(&run).await.result, None);
    assert_eq!(server.session("ada").await, (SessionStatus::Expired, 1));
}

#[tokio::test]
async fn a_session_without_any_input_is_not_logged_in_with_nothing() {
    let world = World::new();
    let server = world.start().await;
    world.site.script(Stage::Create, [throws(), throws()]);
    server.finish(CREATE).await;
    let (run, state) = server.finish(VALIDATE).await;
    assert_eq!(failed_with(&state), (RunCode::CheckAttemptsFailed, 0, None));
    assert_eq!(world.site.stages(&run), []);
}

#[tokio::test]
async fn two_runs_with_one_dead_login_renew_it_once() {
    let world = World::new();
    let server = world.start().await;
    server.finish(CREATE).await;
    world.site.script(Stage::Check, [check_fails(), check_fails()]);
    let (first, second) = (server.ask(API).await, server.ask(API).await);
    assert_eq!(server.ended(&first).await, RunState::Completed);
    assert_eq!(server.ended(&second).await, RunState::Completed);
    assert_eq!(world.site.count(Stage::Create), 2, "the first login, and one more");
    assert_eq!(world.site.stages(&second), [Stage::Check, Stage::Api]);
    assert_eq!(world.site.most_in_flight(), 1);
}

#[tokio::test]
async fn a_deleted_session_cancels_the_runs_that_need_it() {
    let world = World::new();
    let server = world.start().await;
    server.finish(CREATE).await;
    world.site.script(Stage::Check, [Act::Hang]);
    let (first, second) = (server.ask(API).await, server.ask(API).await);
    in_time(world.site.until(|site| site.stages(&first) == [Stage::Check])).await;
    assert!(server.store.delete_auth_session(&world.project, "ada").await.unwrap());
    server.cancel(&first).await;
    assert_eq!(canceled_for(&server.ended(&second).await), RunCode::AuthSessionNotFound);
    assert_eq!(world.site.stages(&second), []);
}

#[tokio::test]
async fn a_session_deleted_under_a_login_is_not_brought_back() {
    let world = World::new();
    let server = world.start().await;
    let answer = Arc::new(Notify::new());
    world.site.script(Stage::PostCheck, [Act::After(Arc::clone(&answer))]);
    let run = server.ask(CREATE).await;
    in_time(world.site.until(|site| site.count(Stage::PostCheck) == 1)).await;
    assert!(server.store.delete_auth_session(&world.project, "ada").await.unwrap());
    answer.notify_one();
    let state = server.ended(&run).await;
    assert_eq!(canceled_for(&state), RunCode::AuthSessionNotFound);
    assert!(server.store.find_auth_session(&world.project, "ada").await.unwrap().is_none());
}

#[tokio::test]
async fn our_own_faults_are_not_counted_and_end_the_run_after_three() {
    let world = World::new();
    let server = world.start().await;
    world.site.script(Stage::Api, [failure(AttemptCode::InternalServerError), failure(AttemptCode::InternalServerError)]);
    let ask = Ask { session: None, attempts: 1, ..API };
    assert_eq!(server.finish(ask).await.1, RunState::Completed);
    world.site.script(Stage::Api, std::iter::repeat_n(failure(AttemptCode::InternalServerError), 3));
    let (run, state) = server.finish(ask).await;
    assert_eq!(failed_with(&state), (RunCode::InternalServerError, 0, Some(AttemptCode::InternalServerError)));
    assert_eq!(server.attempts(&run).await.len(), 3);
}

#[tokio::test]
async fn an_end_of_another_stage_is_our_fault_and_never_a_result() {
    let world = World::new();
    let server = world.start().await;
    let wrong = Act::End(keywright_domain::AttemptEnd::CheckPassed);
    world.site.script(Stage::Api, [wrong.clone(), wrong]);
    let (_, state) = server.finish(Ask { session: None, ..API }).await;
    assert_eq!(failed_with(&state), (RunCode::InternalServerError, 2, Some(AttemptCode::InternalServerError)));
}

#[tokio::test]
async fn every_attempt_keeps_its_log() {
    let world = World::new();
    let server = world.start().await;
    world.site.script(Stage::Api, [throws()]);
    let (run, _) = server.finish(Ask { session: None, ..API }).await;
    let attempts = server.attempts(&run).await;
    assert_eq!(attempts.len(), 2);
    for attempt in attempts {
        let key = attempt.log_blob.unwrap();
        let log = server.blobs.get(&world.workspace, &key).await.unwrap().unwrap();
        assert_eq!(log, "{\"message\":\"hello\"}\n");
    }
}
