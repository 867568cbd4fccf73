//! Facts about committing transitions.

use keywright_domain::{
    AttemptCode, AttemptEnd, Effect, ExtendedPayload, RunCode, RunReason, RunState, SessionStatus, Stage, Transition,
};
use keywright_store::{AttemptClose, AttemptOutcome, CommitOutcome};
use serde_json::json;

use crate::bench::{Bench, captured, existing, failed, failure, returned};

pub(crate) async fn a_result_is_read_back_with_its_payloads(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    for (result, payloads) in [
        (json!({ "orders": [1, 2.5, "ä"], "z": 1, "a": null }), Vec::new()),
        (json!(null), vec![ExtendedPayload { api: "orders/details".to_owned(), parameters: json!({ "id": 1 }) }]),
    ] {
        let run = bench.accept_run(&project, bench.api_run(None)).await;
        let record = bench.take().await;
        bench.attempt(record, AttemptEnd::Returned { result: result.clone(), payloads: payloads.clone() }).await;
        let output = bench.store.find_run(&project, &run).await.unwrap().unwrap();
        assert_eq!(output.state, RunState::Completed);
        assert_eq!((output.result, output.payloads), (Some(result), payloads));
        assert!(output.ended_at.unwrap() > output.started_at.unwrap());
        assert_eq!(bench.store.list_claims(&bench.worker()).await.unwrap(), [], "an ended run has no owner");
        assert!(bench.claim().await.is_empty());
    }
}

pub(crate) async fn a_candidate_survives_its_worker(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_operation(&project, bench.create("ada", json!("in"))).await;
    let record = bench.take().await;
    let record = bench.attempt(record, captured(json!("state"))).await;
    bench.attempt(record, failed(AttemptCode::AuthCheckFailed)).await;

    bench.next_life().await;
    let again = bench.claim_one().await;
    assert_eq!(again.candidate.as_ref().unwrap().reveal(), &json!("state"));
    assert!(matches!(&again.state, RunState::Started(progress) if progress.stage == Stage::PostCheck && progress.used == 1));
    bench.attempt(again, AttemptEnd::CheckPassed).await;
    let session = bench.store.find_auth_session(&project, "ada").await.unwrap().unwrap();
    assert_eq!(session.status, SessionStatus::Ready);
    let secrets = bench.store.session_secrets(&session.key).await.unwrap().unwrap();
    assert_eq!(secrets.state.unwrap().reveal(), &json!("state"));
}

pub(crate) async fn a_failure_is_read_back_whole(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    let mut record = bench.take().await;
    for code in [AttemptCode::ScriptTimeout, AttemptCode::ScriptProcessCrashed, AttemptCode::ScriptNoValidOutput] {
        record = bench.attempt(record, failed(code)).await;
    }
    let output = bench.store.find_run(&project, &run).await.unwrap().unwrap();
    assert_eq!(output.state, record.state);
    let RunState::Failed(wrapper) = output.state else { panic!("{:?}", output.state) };
    assert_eq!((wrapper.code, wrapper.attempts_count), (RunCode::ApiAttemptsFailed, 3));
    assert_eq!(wrapper.last_error, Some(failure(AttemptCode::ScriptNoValidOutput)));
}

pub(crate) async fn a_cancellation_by_the_login_is_read_back_whole(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let mut new = bench.api_run(Some(existing("ada")));
    new.request.plan.may_recreate = false;
    let run = bench.accept_run(&project, new).await;
    let mut record = bench.take().await;
    for _ in 0..3 {
        record = bench.attempt(record, failed(AttemptCode::AuthCheckFailed)).await;
    }
    let output = bench.store.find_run(&project, &run).await.unwrap().unwrap();
    assert_eq!(output.state, record.state);
    let RunState::Canceled(RunReason::SessionDependency(dependency)) = output.state else { panic!("{:?}", output.state) };
    assert_eq!((dependency.cause, dependency.attempts_count), (RunCode::CheckAttemptsFailed, 3));
    assert_eq!((output.result, output.payloads), (None, Vec::new()));
}

pub(crate) async fn a_commit_that_makes_no_sense_changes_nothing(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    let record = bench.take().await;
    let (_, close) = bench.attempted(&record, &captured(json!("state"))).await;

    let adopt = Transition { state: RunState::Completed, effects: vec![Effect::AdoptCandidate] };
    assert!(
        bench.store.commit_run(bench.commit(&record, adopt, Some(close.clone()), None)).await.is_err(),
        "there is no candidate"
    );
    let keep = Transition { state: RunState::Completed, effects: vec![Effect::KeepResult] };
    assert!(bench.store.commit_run(bench.commit(&record, keep, Some(close.clone()), None)).await.is_err(), "there is no result");
    let other = AttemptClose { number: keywright_domain::AttemptNumber::new(2).unwrap(), ..close };
    let plain = Transition { state: record.state.clone(), effects: Vec::new() };
    assert!(bench.store.commit_run(bench.commit(&record, plain, Some(other), None)).await.is_err(), "there is no such attempt");

    let attempts = bench.store.list_attempts(&project, &record.id).await.unwrap().unwrap();
    assert_eq!((attempts.len(), attempts[0].outcome.clone()), (1, None), "the first statement of each was taken back");
    assert_eq!(bench.store.find_run(&project, &record.id).await.unwrap().unwrap().state, record.state);
    assert_eq!(bench.store.find_auth_session(&project, "ada").await.unwrap().unwrap().status, SessionStatus::Pending);
}

pub(crate) async fn an_api_attempt_succeeds_once(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let (transition, close) = bench.attempted(&record, &returned(json!(1))).await;
    let commit = bench.commit(&record, transition, Some(close), Some(returned(json!(1))));
    assert_eq!(bench.store.commit_run(commit.clone()).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(bench.store.commit_run(commit).await.unwrap(), CommitOutcome::Stale, "the same answer again is a late one");
    let attempts = bench.store.list_attempts(&project, &record.id).await.unwrap().unwrap();
    assert_eq!(attempts.into_iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Some(AttemptOutcome::Succeeded)]);
}
