//! Facts about attempts.

use keywright_domain::{AttemptCode, AttemptNumber, RunId, Stage};
use keywright_store::{AttemptClose, AttemptOutcome, TraceStatus};
use serde_json::json;

use crate::bench::{Bench, captured, failed, failure, returned};

pub(crate) async fn attempts_are_listed_in_order_with_how_they_ended(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let other = bench.project("other", 1).await;
    let (run, _) = bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    assert_eq!(bench.store.list_attempts(&project, &run).await.unwrap(), Some(Vec::new()));

    let record = bench.take().await;
    let record = bench.attempt(record, failed(AttemptCode::ScriptTimeout)).await;
    let record = bench.attempt(record, captured(json!({}))).await;
    bench.store.begin_attempt(&run, record.epoch, Stage::PostCheck).await.unwrap().unwrap();

    let attempts = bench.store.list_attempts(&project, &run).await.unwrap().unwrap();
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.number.get(), attempt.stage, attempt.outcome.clone(), attempt.log_blob.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            (1, Stage::Create, Some(AttemptOutcome::Failed(failure(AttemptCode::ScriptTimeout))), true),
            (2, Stage::Create, Some(AttemptOutcome::Succeeded), true),
            (3, Stage::PostCheck, None, false),
        ]
    );
    assert!(attempts[0].ended_at.unwrap() > attempts[0].started_at);
    assert_eq!(attempts[2].ended_at, None);
    assert!(attempts.iter().all(|attempt| attempt.worker == bench.worker()));

    assert_eq!(bench.store.list_attempts(&other, &run).await.unwrap(), None);
    assert_eq!(bench.store.list_attempts(&project, &RunId::from_entropy(bench.entropy())).await.unwrap(), None);
}

pub(crate) async fn a_log_and_a_trace_are_filed_later(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let number = bench.open_attempt(&record).await;
    let read = async || bench.attempts(&record).await.remove(0);
    assert_eq!((read().await.log_blob, read().await.trace), (None, TraceStatus::None));

    let (log, trace) = (bench.blob(3), bench.blob(4));
    for _ in 0..2 {
        bench.store.file_log(&record.id, number, log.clone()).await.unwrap();
        assert_eq!(read().await.log_blob.as_ref(), Some(&log.key));
        bench.store.file_trace(&record.id, number, trace.clone()).await.unwrap();
        assert_eq!(read().await.trace, TraceStatus::Stored(trace.key.clone()));
    }
    bench.store.drop_trace(&record.id, number, "too late").await.unwrap();
    assert_eq!(read().await.trace, TraceStatus::Stored(trace.key.clone()), "what is stored is stored");
    assert_eq!(bench.store.list_garbage(10).await.unwrap(), []);

    let unknown = AttemptNumber::new(9).unwrap();
    assert!(bench.store.file_trace(&record.id, unknown, bench.blob(1)).await.is_err());
    assert!(bench.store.file_log(&record.id, unknown, bench.blob(1)).await.is_err());
    assert!(bench.store.drop_trace(&record.id, unknown, "why").await.is_err());
}

pub(crate) async fn another_log_takes_the_place_of_the_first(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let number = bench.open_attempt(&record).await;
    for file in [true, false] {
        let (first, second) = (bench.blob(3), bench.blob(4));
        for blob in [&first, &second] {
            match file {
                true => bench.store.file_log(&record.id, number, blob.clone()).await.unwrap(),
                false => bench.store.file_trace(&record.id, number, blob.clone()).await.unwrap(),
            }
        }
        let garbage = bench.store.list_garbage(10).await.unwrap();
        assert_eq!(garbage.iter().map(|garbage| &garbage.key).collect::<Vec<_>>(), [&first.key]);
        bench.store.forget_garbage(&garbage).await.unwrap();
    }
}

pub(crate) async fn a_pending_trace_is_stored_or_dropped(bench: &Bench) {
    let project = bench.project("shop", 2).await;
    let mut pending = Vec::new();
    for _ in 0..2 {
        bench.accept_run(&project, bench.api_run(None)).await;
        let record = bench.take().await;
        let (transition, close) = bench.attempted(&record, &returned(json!(1))).await;
        let close = AttemptClose { is_trace_pending: true, ..close };
        let number = close.number;
        let commit = bench.commit(&record, transition, Some(close), Some(returned(json!(1))));
        bench.store.commit_run(commit).await.unwrap();
        assert_eq!(bench.attempts(&record).await[0].trace, TraceStatus::Pending);
        pending.push((record, number));
    }
    let trace = bench.blob(9);
    bench.store.file_trace(&pending[0].0.id, pending[0].1, trace.clone()).await.unwrap();
    bench.store.drop_trace(&pending[1].0.id, pending[1].1, "held a password").await.unwrap();
    assert_eq!(bench.attempts(&pending[0].0).await[0].trace, TraceStatus::Stored(trace.key));
    assert_eq!(bench.attempts(&pending[1].0).await[0].trace, TraceStatus::Dropped("held a password".to_owned()));
}
