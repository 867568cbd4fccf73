//! Facts about cancellations.

use keywright_domain::{AttemptCode, RunCode, RunId, RunReason, RunState, SessionStatus, Stage};
use keywright_store::{AttemptOutcome, CommitOutcome};
use serde_json::json;

use crate::bench::{Bench, existing, failed, returned};

pub(crate) async fn a_waiting_run_is_canceled(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let other = bench.project("other", 1).await;
    let (run, _) = bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    assert_eq!(bench.store.cancel_run(&other, &run, RunReason::UserAction).await.unwrap(), None);
    let unknown = RunId::from_entropy(bench.entropy());
    assert_eq!(bench.store.cancel_run(&project, &unknown, RunReason::UserAction).await.unwrap(), None);
    assert_eq!(bench.store.find_run(&project, &run).await.unwrap().unwrap().state, RunState::Pending);

    let output = bench.store.cancel_run(&project, &run, RunReason::UserAction).await.unwrap().unwrap();
    assert_eq!((output.state, output.started_at), (RunState::Canceled(RunReason::UserAction), None));
    assert!(output.ended_at.is_some());
    assert!(bench.claim().await.is_empty());
    let session = bench.store.find_auth_session(&project, "ada").await.unwrap().unwrap();
    assert_eq!(session.status, SessionStatus::Expired, "a first login that never was leaves a session that can be updated");
}

pub(crate) async fn a_canceled_run_stays_canceled_whatever_its_worker_does(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let (transition, close) = bench.attempted(&record, &returned(json!("late"))).await;
    bench.store.cancel_run(&project, &run, RunReason::UserAction).await.unwrap();

    let late = bench.commit(&record, transition, Some(close), Some(returned(json!("late"))));
    assert_eq!(bench.store.commit_run(late).await.unwrap(), CommitOutcome::Stale);
    assert_eq!(bench.store.begin_attempt(&run, record.epoch, Stage::Api).await.unwrap(), None);
    assert!(!bench.holds(&record).await);
    bench.store.release_run(&run, record.epoch).await.unwrap();
    assert_eq!(bench.next_life().await.runs, 0);
    assert!(bench.claim().await.is_empty());

    let output = bench.store.find_run(&project, &run).await.unwrap().unwrap();
    assert_eq!((output.state, output.result), (RunState::Canceled(RunReason::UserAction), None));
    let attempts = bench.store.list_attempts(&project, &run).await.unwrap().unwrap();
    assert_eq!(attempts.into_iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Some(AttemptOutcome::Aborted)]);
}

pub(crate) async fn an_ended_run_is_left_as_it_is(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    bench.attempt(record, returned(json!(1))).await;
    let before = bench.store.find_run(&project, &run).await.unwrap();
    let after = bench.store.cancel_run(&project, &run, RunReason::UserAction).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(bench.store.find_run(&project, &run).await.unwrap(), before);
}

pub(crate) async fn canceling_a_recreate_leaves_the_session_expired(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let (run, _) = bench.accept_operation(&project, bench.validate("ada")).await;
    let mut record = bench.take().await;
    for _ in 0..3 {
        record = bench.attempt(record, failed(AttemptCode::AuthCheckFailed)).await;
    }
    assert!(matches!(&record.state, RunState::Started(progress) if progress.stage == Stage::Create));
    bench.store.cancel_run(&project, &run, RunReason::UserAction).await.unwrap();
    let session = bench.store.find_auth_session(&project, "ada").await.unwrap().unwrap();
    assert_eq!((session.status, session.generation), (SessionStatus::Expired, 1));
}

pub(crate) async fn a_run_is_locked_out_only_by_one_long_holder(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let (holder, _) = bench.accept_operation(&project, bench.validate("ada")).await;
    let impatient = bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    let mut patient = bench.api_run(Some(existing("ada")));
    patient.timeout = keywright_domain::TimeoutSeconds::new(600).unwrap();
    let patient = bench.accept_run(&project, patient).await;
    let (last, _) = bench.accept_operation(&project, bench.validate("ada")).await;
    let canceled = async |limit| bench.store.cancel_locked_out(&bench.seat().await, limit).await.unwrap().unwrap();

    // Nobody has the session yet: all four only wait to be taken.
    bench.pass_seconds(3_600);
    assert_eq!(canceled(10).await, 0);
    let record = bench.claim_one().await;
    assert_eq!(record.id, holder);
    bench.pass_seconds(59);
    assert_eq!(canceled(10).await, 0);
    bench.pass_seconds(2);
    assert_eq!(canceled(1).await, 1, "the oldest first, no more than asked for");
    assert_eq!(canceled(10).await, 1);
    assert_eq!(canceled(10).await, 0);
    for id in [&impatient, &last] {
        let output = bench.store.find_run(&project, id).await.unwrap().unwrap();
        let RunState::Canceled(RunReason::SessionDependency(dependency)) = output.state else { panic!("{:?}", output.state) };
        assert_eq!(dependency.cause, RunCode::AuthSessionLocked);
    }
    let session = bench.store.find_auth_session(&project, "ada").await.unwrap().unwrap();
    assert_eq!(session.status, SessionStatus::Ready, "being locked out says nothing about the session");
    assert_eq!(bench.store.find_run(&project, &patient).await.unwrap().unwrap().state, RunState::Pending);
    assert!(bench.holds(&record).await);
}
