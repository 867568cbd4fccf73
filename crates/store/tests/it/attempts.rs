//! Facts about attempts.

use keywright_domain::{AttemptCode, AttemptNumber, RunId, Stage};
use keywright_store::{AttemptOutcome, BlobKey, TraceStatus};
use serde_json::json;

use crate::bench::{Bench, captured, failed, failure};

pub(crate) async fn attempts_are_listed_in_order_with_how_they_ended(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let other = bench.project("other", 1).await;
    let (run, _) = bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    assert_eq!(bench.store.list_attempts(&project, &run).await.unwrap(), Some(Vec::new()));

    let record = bench.take().await;
    let record = bench.attempt(record, failed(AttemptCode::ScriptTimeout)).await;
    let record = bench.attempt(record, captured(json!({}))).await;
    bench.store.begin_attempt(&run, record.epoch, Stage::PostCheck, bench.now()).await.unwrap().unwrap();

    let attempts = bench.store.list_attempts(&project, &run).await.unwrap().unwrap();
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            (attempt.number.get(), attempt.stage, attempt.outcome.clone(), attempt.log_blob.as_ref().map(BlobKey::as_str))
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1, Stage::Create, Some(AttemptOutcome::Failed(failure(AttemptCode::ScriptTimeout))), Some("log-1")),
            (2, Stage::Create, Some(AttemptOutcome::Succeeded), Some("log-2")),
            (3, Stage::PostCheck, None, None),
        ]
    );
    assert!(attempts[0].ended_at.unwrap() > attempts[0].started_at);
    assert_eq!(attempts[2].ended_at, None);

    assert_eq!(bench.store.list_attempts(&other, &run).await.unwrap(), None);
    assert_eq!(bench.store.list_attempts(&project, &RunId::from_entropy(bench.entropy())).await.unwrap(), None);
}

pub(crate) async fn a_log_and_a_trace_are_filed_later(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let number = bench.store.begin_attempt(&run, record.epoch, Stage::Api, bench.now()).await.unwrap().unwrap();
    let read = async || bench.store.list_attempts(&project, &run).await.unwrap().unwrap().remove(0);

    bench.store.file_log(&run, number, BlobKey::parse("attempts/x.log").unwrap()).await.unwrap();
    assert_eq!(read().await.log_blob.as_ref().map(BlobKey::as_str), Some("attempts/x.log"));
    let stored = TraceStatus::Stored(BlobKey::parse("attempts/x.zip").unwrap());
    for trace in [TraceStatus::Pending, stored, TraceStatus::Dropped("held a password".to_owned()), TraceStatus::None] {
        bench.store.file_trace(&run, number, trace.clone()).await.unwrap();
        assert_eq!(read().await.trace, trace);
    }
    let unknown = AttemptNumber::new(9).unwrap();
    assert!(bench.store.file_trace(&run, unknown, TraceStatus::Pending).await.is_err());
    assert!(bench.store.file_log(&run, unknown, BlobKey::parse("x").unwrap()).await.is_err());
}

pub(crate) async fn traces_of_an_earlier_life_are_dropped(bench: &Bench) {
    let project = bench.project("shop", 2).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        bench.accept_run(&project, bench.api_run(None)).await;
        let record = bench.take().await;
        let number = bench.store.begin_attempt(&record.id, record.epoch, Stage::Api, bench.now()).await.unwrap().unwrap();
        runs.push((record.id, number));
    }
    let stored = TraceStatus::Stored(BlobKey::parse("blob").unwrap());
    bench.store.file_trace(&runs[0].0, runs[0].1, stored.clone()).await.unwrap();
    bench.store.file_trace(&runs[1].0, runs[1].1, TraceStatus::Pending).await.unwrap();

    assert_eq!(bench.store.drop_pending_traces("the server was ended").await.unwrap(), 1);
    assert_eq!(bench.store.drop_pending_traces("again").await.unwrap(), 0);
    for ((run, _), expected) in runs.iter().zip([stored, TraceStatus::Dropped("the server was ended".to_owned())]) {
        assert_eq!(bench.store.list_attempts(&project, run).await.unwrap().unwrap()[0].trace, expected);
    }
}
