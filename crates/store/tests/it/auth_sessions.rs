//! Facts about AuthSessions: what is in force when, what is shown meanwhile, and what is gone when.

use keywright_domain::{AttemptCode, AttemptEnd, RunReason, RunState, SessionKind, SessionStatus};
use keywright_store::{AuthSession, CommitOutcome, SessionSecrets};
use serde_json::{Value, json};

use crate::bench::{Bench, captured, existing, failed, proxy, returned};
use keywright_domain::ProjectId;

async fn session(bench: &Bench, project: &ProjectId, name: &str) -> AuthSession {
    bench.store.find_auth_session(project, name).await.unwrap().unwrap()
}

async fn status(bench: &Bench, project: &ProjectId, name: &str) -> SessionStatus {
    session(bench, project, name).await.status
}

async fn secrets(bench: &Bench, project: &ProjectId, name: &str) -> SessionSecrets {
    bench.store.session_secrets(&session(bench, project, name).await.key).await.unwrap().unwrap()
}

fn open(secrets: &SessionSecrets) -> (Option<&Value>, Option<&Value>, Option<String>) {
    let proxy = secrets.proxy.as_ref().map(|proxy| proxy.full().reveal().clone());
    (secrets.parameters.as_ref().map(|value| value.reveal()), secrets.state.as_ref().map(|value| value.reveal()), proxy)
}

async fn fail_thrice(bench: &Bench, mut record: keywright_store::RunRecord, code: AttemptCode) -> keywright_store::RunRecord {
    for _ in 0..3 {
        record = bench.attempt(record, failed(code)).await;
    }
    record
}

pub(crate) async fn a_first_login_is_pending_then_ready(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let mut new = bench.create("ada", json!({ "user": "ada" }));
    new.request.proxy = Some(proxy("http://u:p@proxy.example.test:81"));
    bench.accept_operation(&project, new).await;
    let first = session(bench, &project, "ada").await;
    assert_eq!((first.kind, first.status, first.generation), (SessionKind::Credentials, SessionStatus::Pending, 0));
    assert_eq!(open(&secrets(bench, &project, "ada").await), (None, None, None));

    let record = bench.take().await;
    let record = bench.attempt(record, captured(json!({ "cookies": [1] }))).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Pending);
    assert_eq!(open(&secrets(bench, &project, "ada").await), (None, None, None), "a state is nothing before its check");
    bench.attempt(record, AttemptEnd::CheckPassed).await;

    let ready = session(bench, &project, "ada").await;
    assert_eq!((&ready.key, ready.status, ready.generation), (&first.key, SessionStatus::Ready, 1));
    let secrets = secrets(bench, &project, "ada").await;
    let pinned = Some("http://u:p@proxy.example.test:81/".to_owned());
    assert_eq!(open(&secrets), (Some(&json!({ "user": "ada" })), Some(&json!({ "cookies": [1] })), pinned));
}

pub(crate) async fn an_update_changes_nothing_until_it_succeeds(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let mut new = bench.create("ada", json!("old"));
    new.request.proxy = Some(proxy("http://old.example.test:81"));
    bench.accept_operation(&project, new).await;
    bench.log_in(json!("state 1")).await;
    let pinned = Some("http://old.example.test:81/".to_owned());

    bench.accept_operation(&project, bench.update("ada", json!("new"))).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Pending);
    let record = bench.take().await;
    let record = bench.attempt(record, captured(json!("state 2"))).await;
    let before = (Some(&json!("old")), Some(&json!("state 1")), pinned.clone());
    assert_eq!(open(&secrets(bench, &project, "ada").await), before);
    assert_eq!(session(bench, &project, "ada").await.generation, 1);

    bench.attempt(record, AttemptEnd::CheckPassed).await;
    // No proxy was named, so the session stays pinned to its own.
    assert_eq!(open(&secrets(bench, &project, "ada").await), (Some(&json!("new")), Some(&json!("state 2")), pinned));
    let ready = session(bench, &project, "ada").await;
    assert_eq!((ready.status, ready.generation), (SessionStatus::Ready, 2));
}

pub(crate) async fn a_failed_update_leaves_the_session_as_it_was(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.ready_session(&project, "ada", json!("old"), json!("state 1")).await;
    bench.accept_operation(&project, bench.update("ada", json!("wrong"))).await;
    let record = bench.take().await;
    let record = fail_thrice(bench, record, AttemptCode::ScriptExecutionException).await;
    assert!(matches!(record.state, RunState::Failed(_)));

    let after = session(bench, &project, "ada").await;
    assert_eq!((after.status, after.generation), (SessionStatus::Ready, 1));
    assert_eq!(open(&secrets(bench, &project, "ada").await), (Some(&json!("old")), Some(&json!("state 1")), None));
}

pub(crate) async fn a_failed_first_login_leaves_an_expired_session(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_operation(&project, bench.create("ada", json!("wrong"))).await;
    let record = bench.take().await;
    fail_thrice(bench, record, AttemptCode::ScriptExecutionException).await;
    let after = session(bench, &project, "ada").await;
    assert_eq!((after.status, after.generation), (SessionStatus::Expired, 0));

    bench.accept_operation(&project, bench.update("ada", json!("right"))).await;
    bench.log_in(json!("state")).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Ready);
    assert_eq!(open(&secrets(bench, &project, "ada").await), (Some(&json!("right")), Some(&json!("state")), None));
}

pub(crate) async fn a_create_of_an_existing_name_replaces_everything(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let mut new = bench.create("ada", json!("old"));
    new.request.proxy = Some(proxy("http://old.example.test:81"));
    bench.accept_operation(&project, new).await;
    bench.log_in(json!("state 1")).await;
    let key = session(bench, &project, "ada").await.key;

    bench.accept_operation(&project, bench.create("ada", json!("new"))).await;
    bench.log_in(json!("state 2")).await;
    let after = session(bench, &project, "ada").await;
    assert_eq!((after.key, after.generation), (key, 2));
    assert_eq!(open(&secrets(bench, &project, "ada").await), (Some(&json!("new")), Some(&json!("state 2")), None));
}

pub(crate) async fn a_login_under_way_is_shown_as_pending(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.ready_session(&project, "ada", json!("in"), json!("state 1")).await;
    bench.ready_session(&project, "bob", json!("in"), json!("state 1")).await;
    bench.accept_operation(&project, bench.validate("ada")).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Ready, "a check is no login");
    let record = bench.take().await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Ready);

    let record = fail_thrice(bench, record, AttemptCode::AuthCheckFailed).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Pending);
    let shown: Vec<_> = bench.store.list_auth_sessions(&project).await.unwrap().into_iter().map(|found| found.status).collect();
    assert_eq!(shown, [SessionStatus::Pending, SessionStatus::Ready]);

    let record = bench.attempt(record, captured(json!("state 2"))).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Pending);
    bench.attempt(record, AttemptEnd::CheckPassed).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Ready);
    // The login was made from the stored parameters, which therefore stay.
    assert_eq!(open(&secrets(bench, &project, "ada").await), (Some(&json!("in")), Some(&json!("state 2")), None));
}

pub(crate) async fn a_failed_recreate_ends_expired(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.ready_session(&project, "ada", json!("in"), json!("state 1")).await;
    bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    let record = bench.take().await;
    let record = fail_thrice(bench, record, AttemptCode::AuthCheckFailed).await;
    let record = fail_thrice(bench, record, AttemptCode::ScriptTimeout).await;
    assert!(matches!(record.state, RunState::Canceled(RunReason::SessionDependency(_))));
    let after = session(bench, &project, "ada").await;
    assert_eq!((after.status, after.generation), (SessionStatus::Expired, 1));
    assert_eq!(open(&secrets(bench, &project, "ada").await), (Some(&json!("in")), Some(&json!("state 1")), None));
}

pub(crate) async fn a_passing_check_makes_it_ready_again(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.ready_session(&project, "ada", json!("in"), json!("state 1")).await;
    let mut strict = bench.validate("ada");
    strict.request.plan.may_recreate = false;
    bench.accept_operation(&project, strict).await;
    let record = bench.take().await;
    fail_thrice(bench, record, AttemptCode::AuthCheckFailed).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Expired);

    bench.accept_operation(&project, bench.validate("ada")).await;
    let record = bench.take().await;
    bench.attempt(record, AttemptEnd::CheckPassed).await;
    let after = session(bench, &project, "ada").await;
    assert_eq!((after.status, after.generation), (SessionStatus::Ready, 1));
}

pub(crate) async fn a_deleted_session_is_gone_with_its_secrets(bench: &Bench) {
    let project = bench.project("shop", 2).await;
    let other = bench.project("other", 1).await;
    bench.ready_session(&project, "ada", json!("in"), json!("state")).await;
    let key = session(bench, &project, "ada").await.key;
    bench.accept_operation(&project, bench.update("ada", json!("new"))).await;
    let (needs_it, _) = bench.accept_operation(&project, bench.validate("ada")).await;

    assert!(!bench.store.delete_auth_session(&other, "ada").await.unwrap());
    assert!(bench.store.delete_auth_session(&project, "ada").await.unwrap());
    assert!(!bench.store.delete_auth_session(&project, "ada").await.unwrap());
    assert_eq!(bench.store.find_auth_session(&project, "ada").await.unwrap(), None);
    assert!(bench.store.session_secrets(&key).await.unwrap().is_none());

    // A session of the same name made now is another one, and has nothing to do with the accepted work.
    bench.accept_operation(&project, bench.create("ada", json!("again"))).await;
    let update = bench.claim().await.remove(0);
    assert_eq!(update.session.as_ref().unwrap().key, key);
    assert!(update.session_input.is_none(), "what the update brought along is gone as well");
    let ended = bench.begin(update).await;
    assert!(matches!(&ended.state, RunState::Canceled(RunReason::SessionDependency(_))), "{:?}", ended.state);
    let next = bench.claim().await.remove(0);
    assert_eq!(next.id, needs_it);
    assert!(matches!(bench.begin(next).await.state, RunState::Canceled(RunReason::SessionDependency(_))));
    assert_ne!(session(bench, &project, "ada").await.key, key);
}

pub(crate) async fn nothing_is_kept_for_a_deleted_session(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let gone_during = async |record: keywright_store::RunRecord, end: AttemptEnd| {
        let (transition, close) = bench.attempted(&record, &end).await;
        assert!(bench.store.delete_auth_session(&project, "ada").await.unwrap());
        let commit = bench.commit(&record, transition, Some(close), Some(end));
        assert_eq!(bench.store.commit_run(commit).await.unwrap(), CommitOutcome::SessionGone);
        let attempts = bench.store.list_attempts(&project, &record.id).await.unwrap().unwrap();
        assert_eq!(attempts.last().unwrap().outcome, None, "nothing was changed");
        bench.store.cancel_run(&project, &record.id, RunReason::UserAction).await.unwrap();
        assert_eq!(bench.store.find_auth_session(&project, "ada").await.unwrap(), None);
    };
    bench.accept_operation(&project, bench.create("ada", json!("in"))).await;
    gone_during(bench.take().await, captured(json!("state"))).await;

    bench.accept_operation(&project, bench.create("ada", json!("in"))).await;
    let record = bench.take().await;
    gone_during(bench.attempt(record, captured(json!("state"))).await, AttemptEnd::CheckPassed).await;

    bench.ready_session(&project, "ada", json!("in"), json!("state")).await;
    bench.accept_operation(&project, bench.validate("ada")).await;
    gone_during(bench.take().await, AttemptEnd::CheckPassed).await;
}

pub(crate) async fn a_runtime_input_lives_as_long_as_its_run(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.runtime_run("ada", false, json!({ "otp": "1234" }))).await;
    let shown = session(bench, &project, "ada").await;
    assert_eq!((shown.kind, shown.status), (SessionKind::Runtime, SessionStatus::Pending));
    let record = bench.claim_one().await;
    assert_eq!(record.session_input.as_ref().unwrap().reveal(), &json!({ "otp": "1234" }));
    let record = bench.begin(record).await;
    let record = bench.attempt(record, captured(json!("state"))).await;
    let record = bench.attempt(record, AttemptEnd::CheckPassed).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Ready);
    assert_eq!(open(&secrets(bench, &project, "ada").await), (None, Some(&json!("state")), None));
    bench.attempt(record, returned(json!(1))).await;
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Ready, "a named one stays");

    // The next run may bring its own input or use what there is.
    bench.accept_run(&project, bench.runtime_run("ada", false, json!("again"))).await;
    let record = bench.take().await;
    let record = bench.attempt(record, AttemptEnd::CheckPassed).await;
    bench.attempt(record, returned(json!(2))).await;
    bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    assert!(bench.claim_one().await.session_input.is_none());
}

pub(crate) async fn an_ephemeral_session_ends_with_its_run(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.runtime_run("auth-session-x", true, json!("in"))).await;
    let record = bench.take().await;
    let record = bench.attempt(record, captured(json!("state"))).await;
    let record = bench.attempt(record, AttemptEnd::CheckPassed).await;
    assert_eq!(status(bench, &project, "auth-session-x").await, SessionStatus::Ready);
    let key = record.session.clone().unwrap().key;
    bench.attempt(record, returned(json!(1))).await;
    assert_eq!(bench.store.find_auth_session(&project, "auth-session-x").await.unwrap(), None);
    assert!(bench.store.session_secrets(&key).await.unwrap().is_none());

    let run = bench.accept_run(&project, bench.runtime_run("auth-session-y", true, json!("in"))).await;
    bench.store.cancel_run(&project, &run, RunReason::UserAction).await.unwrap();
    assert_eq!(bench.store.list_auth_sessions(&project).await.unwrap(), []);
}

pub(crate) async fn a_session_nobody_will_log_in_is_not_pending(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let first = bench.accept_run(&project, bench.runtime_run("ada", false, json!(1))).await;
    let second = bench.accept_run(&project, bench.runtime_run("ada", false, json!(2))).await;
    bench.store.cancel_run(&project, &first, RunReason::UserAction).await.unwrap();
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Pending, "the second run will log it in");
    bench.store.cancel_run(&project, &second, RunReason::UserAction).await.unwrap();
    assert_eq!(status(bench, &project, "ada").await, SessionStatus::Expired);
}

pub(crate) async fn sessions_are_listed_by_name(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let other = bench.project("other", 1).await;
    for name in ["zoe", "ada", "mia"] {
        bench.accept_operation(&project, bench.create(name, json!({}))).await;
    }
    bench.accept_operation(&other, bench.create("bob", json!({}))).await;
    let names = async |project| {
        let sessions = bench.store.list_auth_sessions(project).await.unwrap();
        sessions.into_iter().map(|session| session.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&project).await, ["ada", "mia", "zoe"]);
    assert_eq!(names(&other).await, ["bob"]);
    assert_eq!(bench.store.find_auth_session(&other, "ada").await.unwrap(), None);
}
