//! Facts about what is remembered of a run, and what is not kept any longer.

use std::collections::BTreeSet;

use keywright_domain::{
    AttemptCode, AttemptEnd, Epoch, ProjectId, RetentionPolicy, RunReason, RunState, SessionStatus, Stage, WorkerId,
};
use keywright_store::{Accepted, AttemptClose, Expired, Idempotency, RunEventKind, RunRecord, TraceStatus, WorkerStatus};
use serde_json::json;

use crate::bench::{Bench, captured, failed, returned};

/// Nothing is too old or too much.
fn everything() -> RetentionPolicy {
    RetentionPolicy {
        runs_s: 1_000_000,
        logs_s: 1_000_000,
        traces_s: 1_000_000,
        files_s: 1_000_000,
        bytes_per_project: 1_000_000,
    }
}

async fn expire(bench: &Bench, policy: &RetentionPolicy, limit: u32) -> Expired {
    bench.store.expire_history(&bench.seat().await, policy, limit).await.unwrap().unwrap()
}

async fn garbage(bench: &Bench) -> Vec<String> {
    let mut keys: Vec<_> =
        bench.store.list_garbage(100).await.unwrap().into_iter().map(|garbage| garbage.key.as_str().to_owned()).collect();
    keys.sort();
    keys
}

/// A completed run whose attempt has a log of three bytes and a trace of four.
async fn completed(bench: &Bench, project: &ProjectId) -> RunRecord {
    bench.accept_run(project, bench.api_run(None)).await;
    let record = bench.take().await;
    let (transition, close) = bench.attempted(&record, &returned(json!(1))).await;
    let number = close.number;
    let close = AttemptClose { log: Some(bench.blob(3)), ..close };
    let commit = bench.commit(&record, transition, Some(close), Some(returned(json!(1))));
    bench.store.commit_run(commit).await.unwrap();
    bench.store.file_trace(&record.id, number, bench.blob(4)).await.unwrap();
    record
}

type Seen = (RunEventKind, Epoch, Option<WorkerId>, Option<u32>, Option<String>);

async fn events(bench: &Bench, record: &RunRecord, limit: u32) -> Vec<Seen> {
    let events = bench.store.list_run_events(&record.project, &record.id, limit).await.unwrap().unwrap();
    assert!(events.is_sorted_by_key(|event| event.at));
    let seen = events
        .into_iter()
        .map(|event| (event.kind, event.epoch, event.worker, event.attempt.map(|number| number.get()), event.detail));
    seen.collect()
}

pub(crate) async fn a_run_remembers_every_step(bench: &Bench) {
    use RunEventKind::{Accepted, AttemptBegun, AttemptEnded, Claimed, Moved, Released, Rescued};
    let project = bench.project("shop", 1).await;
    let other = bench.project("other", 1).await;
    bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    let one = bench.worker();
    let record = bench.claim_one().await;
    bench.store.release_run(&record.id, record.epoch).await.unwrap();
    let record = bench.take().await;
    let record = bench.attempt(record, failed(AttemptCode::ScriptTimeout)).await;
    let record = bench.attempt(record, captured(json!({}))).await;
    let RunState::Started(progress) = &record.state else { panic!("{:?}", record.state) };
    bench.store.begin_attempt(&record.id, record.epoch, progress.stage).await.unwrap().unwrap();
    bench.next_life().await;
    let two = bench.worker();
    let again = bench.claim_one().await;
    bench.store.cancel_run(&project, &again.id, RunReason::UserAction).await.unwrap();

    let event = |kind, epoch, worker: Option<&WorkerId>, attempt, detail: Option<&str>| {
        (kind, Epoch::new(epoch), worker.cloned(), attempt, detail.map(str::to_owned))
    };
    let expected = [
        event(Accepted, 0, None, None, None),
        event(Claimed, 1, Some(&one), None, None),
        event(Released, 1, Some(&one), None, None),
        event(Claimed, 2, Some(&one), None, None),
        event(Moved, 2, Some(&one), None, Some("started/create")),
        event(AttemptBegun, 2, Some(&one), Some(1), Some("create")),
        event(AttemptEnded, 2, Some(&one), Some(1), Some("failed")),
        event(AttemptBegun, 2, Some(&one), Some(2), Some("create")),
        event(AttemptEnded, 2, Some(&one), Some(2), Some("succeeded")),
        event(Moved, 2, Some(&one), None, Some("started/post-check")),
        event(AttemptBegun, 2, Some(&one), Some(3), Some("post-check")),
        event(Rescued, 3, Some(&one), None, None),
        event(Claimed, 4, Some(&two), None, None),
        event(AttemptEnded, 5, Some(&two), Some(3), Some("aborted")),
        event(Moved, 5, Some(&two), None, Some("canceled")),
    ];
    assert_eq!(events(bench, &record, 100).await, expected);
    assert_eq!(events(bench, &record, 2).await, expected[13..], "the newest, oldest first");
    assert_eq!(bench.store.list_run_events(&other, &record.id, 10).await.unwrap(), None);
}

pub(crate) async fn nothing_goes_before_its_time(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let record = completed(bench, &project).await;
    let file = bench.file(&project, bench.blob(5));
    bench.store.insert_file(file.clone()).await.unwrap();
    bench.pass_seconds(900_000);
    assert!(expire(bench, &everything(), 10).await.is_nothing());
    assert_eq!(garbage(bench).await, [""; 0]);
    assert!(bench.attempts(&record).await[0].log_blob.is_some());
    assert!(bench.store.get_file(&file.id).await.unwrap().is_some());
}

pub(crate) async fn an_old_run_goes_with_all_that_is_its(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    let mut new = bench.create("ada", json!({}));
    new.request.idempotency = Some(Idempotency { key: "k".to_owned(), fingerprint: [1; 32] });
    let repeat = new.clone();
    let (run, operation) = bench.accept_operation(&project, new).await;
    let record = bench.log_in(json!("state")).await;
    assert_eq!(record.id, run);
    let logs: BTreeSet<_> =
        bench.attempts(&record).await.into_iter().map(|attempt| attempt.log_blob.unwrap().as_str().to_owned()).collect();
    bench.pass_seconds(100);
    let young = completed(bench, &project).await;
    let waiting = bench.accept_run(&project, bench.api_run(None)).await;

    let policy = RetentionPolicy { runs_s: 50, ..everything() };
    assert_eq!(expire(bench, &policy, 10).await, Expired { runs: 1, ..Expired::default() });
    assert!(expire(bench, &policy, 10).await.is_nothing());
    assert_eq!(garbage(bench).await.into_iter().collect::<BTreeSet<_>>(), logs);
    assert_eq!(bench.store.find_run(&project, &run).await.unwrap(), None);
    assert_eq!(bench.store.list_attempts(&project, &run).await.unwrap(), None);
    assert_eq!(bench.store.list_run_events(&project, &run, 10).await.unwrap(), None);
    assert_eq!(bench.store.find_operation(&project, &operation).await.unwrap(), None);
    let session = bench.store.find_auth_session(&project, "ada").await.unwrap().unwrap();
    assert_eq!(session.status, SessionStatus::Ready, "a session is no history");
    for kept in [&young.id, &waiting] {
        assert!(bench.store.find_run(&project, kept).await.unwrap().is_some());
    }
    // Its idempotency key is forgotten as well.
    let again = keywright_store::NewOperation {
        request: keywright_store::RunRequest { id: bench.request(repeat.request.plan.kind, None).id, ..repeat.request },
        id: repeat.id,
    };
    let accepted = bench.store.accept_operation(&bench.workspace, &project, again).await.unwrap();
    assert!(matches!(accepted, Accepted::New { .. }), "{accepted:?}");
}

pub(crate) async fn an_unfinished_run_and_one_with_a_pending_trace_stay(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let running = bench.take().await;
    bench.open_attempt(&running).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let cleaning = bench.take().await;
    let (transition, close) = bench.attempted(&cleaning, &returned(json!(1))).await;
    let number = close.number;
    let close = AttemptClose { is_trace_pending: true, log: None, ..close };
    let commit = bench.commit(&cleaning, transition, Some(close), Some(returned(json!(1))));
    bench.store.commit_run(commit).await.unwrap();
    bench.pass_seconds(10);
    let policy = RetentionPolicy { runs_s: 1, ..everything() };
    assert!(expire(bench, &policy, 10).await.is_nothing());
    let trace = bench.blob(1);
    bench.store.file_trace(&cleaning.id, number, trace.clone()).await.unwrap();
    assert_eq!(expire(bench, &policy, 10).await.runs, 1);
    assert_eq!(garbage(bench).await, [trace.key.as_str()]);
    assert!(bench.store.find_run(&project, &running.id).await.unwrap().is_some());
}

pub(crate) async fn each_kind_of_artifact_has_its_own_age(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let record = completed(bench, &project).await;
    let before = bench.attempts(&record).await.remove(0);
    let (Some(log), TraceStatus::Stored(trace)) = (before.log_blob, before.trace) else { panic!("both are stored") };
    let file = bench.file(&project, bench.blob(5));
    bench.store.insert_file(file.clone()).await.unwrap();
    bench.pass_seconds(10);
    let one = Expired { artifacts: 1, ..Expired::default() };

    assert_eq!(expire(bench, &RetentionPolicy { traces_s: 5, ..everything() }, 10).await, one);
    let attempt = bench.attempts(&record).await.remove(0);
    assert!(matches!(&attempt.trace, TraceStatus::Dropped(reason) if !reason.is_empty()), "{:?}", attempt.trace);
    assert_eq!((attempt.log_blob.as_ref(), garbage(bench).await), (Some(&log), vec![trace.as_str().to_owned()]));

    assert_eq!(expire(bench, &RetentionPolicy { logs_s: 5, ..everything() }, 10).await, one);
    assert_eq!(bench.attempts(&record).await[0].log_blob, None);
    assert!(bench.store.get_file(&file.id).await.unwrap().is_some());

    assert_eq!(expire(bench, &RetentionPolicy { files_s: 5, ..everything() }, 10).await, one);
    assert_eq!(bench.store.get_file(&file.id).await.unwrap(), None);
    assert_eq!(garbage(bench).await.len(), 3);
    assert!(bench.store.find_run(&project, &record.id).await.unwrap().unwrap().result.is_some(), "a result is kept with its run");
}

pub(crate) async fn a_project_keeps_no_more_bytes_than_its_share(bench: &Bench) {
    let (project, other) = (bench.project("shop", 1).await, bench.project("other", 1).await);
    let mut files = Vec::new();
    for size_bytes in [40, 30, 20, 10] {
        let file = bench.file(&project, bench.blob(size_bytes));
        bench.store.insert_file(file.clone()).await.unwrap();
        files.push(file);
    }
    let elsewhere = bench.file(&other, bench.blob(35));
    bench.store.insert_file(elsewhere.clone()).await.unwrap();
    let kept = async || {
        let mut kept = Vec::new();
        for file in &files {
            kept.push(bench.store.get_file(&file.id).await.unwrap().is_some());
        }
        kept
    };
    let policy = RetentionPolicy { bytes_per_project: 100, ..everything() };
    assert!(expire(bench, &policy, 10).await.is_nothing(), "100 bytes are no more than 100");
    let policy = RetentionPolicy { bytes_per_project: 35, ..everything() };
    assert_eq!(expire(bench, &policy, 1).await.artifacts, 1, "in batches");
    assert_eq!(kept().await, [false, true, true, true]);
    assert_eq!(expire(bench, &policy, 10).await.artifacts, 1);
    assert_eq!(kept().await, [false, false, true, true], "the oldest first, and no more than needed");
    assert!(expire(bench, &policy, 10).await.is_nothing());
    assert!(bench.store.get_file(&elsewhere.id).await.unwrap().is_some());
    assert_eq!(garbage(bench).await.len(), 2);
}

pub(crate) async fn history_goes_in_batches(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    for _ in 0..5 {
        completed(bench, &project).await;
    }
    bench.pass_seconds(10);
    let policy = RetentionPolicy { runs_s: 5, ..everything() };
    for expected in [2, 2, 1, 0] {
        assert_eq!(expire(bench, &policy, 2).await.runs, expected);
    }
    assert_eq!(bench.store.list_garbage(3).await.unwrap().len(), 3);
    assert_eq!(garbage(bench).await.len(), 10);
}

pub(crate) async fn garbage_is_there_until_it_is_forgotten(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    completed(bench, &project).await;
    bench.pass_seconds(10);
    expire(bench, &RetentionPolicy { runs_s: 5, ..everything() }, 10).await;
    let first = bench.store.list_garbage(1).await.unwrap();
    assert_eq!(first[0].workspace, bench.workspace);
    assert_eq!(bench.store.list_garbage(1).await.unwrap(), first, "whoever died while removing it finds it again");
    bench.store.forget_garbage(&first).await.unwrap();
    bench.store.forget_garbage(&first).await.unwrap();
    let second = bench.store.list_garbage(10).await.unwrap();
    assert_eq!(second.len(), 1);
    bench.store.forget_garbage(&second).await.unwrap();
    assert_eq!(bench.store.list_garbage(10).await.unwrap(), []);
}

pub(crate) async fn dead_workers_are_forgotten_with_the_runs_of_their_time(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let record = completed(bench, &project).await;
    let dead = bench.worker();
    bench.next_life().await;
    let policy = RetentionPolicy { runs_s: 100, ..everything() };
    assert!(expire(bench, &policy, 10).await.is_nothing());
    bench.pass_seconds(200);
    assert_eq!(expire(bench, &policy, 10).await, Expired { runs: 1, workers: 1, ..Expired::default() });
    let left = bench.store.list_workers(10).await.unwrap();
    assert_eq!(
        left.iter().map(|worker| (&worker.id, worker.status)).collect::<Vec<_>>(),
        [(&bench.worker(), WorkerStatus::Live)]
    );
    assert_ne!(dead, bench.worker());
    assert_eq!(bench.store.find_run(&project, &record.id).await.unwrap(), None);
}

pub(crate) async fn an_attempt_outlives_its_worker(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let maker = bench.worker();
    bench.store.begin_attempt(&record.id, record.epoch, Stage::Api).await.unwrap();
    bench.next_life().await;
    bench.pass_seconds(200);
    assert_eq!(expire(bench, &RetentionPolicy { runs_s: 100, ..everything() }, 10).await.workers, 1);
    assert_eq!(bench.attempts(&record).await[0].worker, maker);
    let again = bench.take().await;
    assert!(again.open_attempt.is_some());
    let end = AttemptEnd::Failed(keywright_domain::AttemptFailure::worker_lost());
    let close = AttemptClose {
        number: again.open_attempt.unwrap(),
        outcome: keywright_store::AttemptOutcome::Failed(keywright_domain::AttemptFailure::worker_lost()),
        log: None,
        is_trace_pending: false,
    };
    let transition = again.state.clone().on(&again.plan, keywright_domain::RunEvent::WorkerLost).unwrap();
    let commit = bench.commit(&again, transition, Some(close), Some(end));
    assert_eq!(bench.store.commit_run(commit).await.unwrap(), keywright_store::CommitOutcome::Committed);
}
