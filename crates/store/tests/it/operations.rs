//! Facts about operations.

use keywright_domain::{AttemptEnd, RunKind, RunState};
use serde_json::json;

use crate::bench::{Bench, captured, session_id};

pub(crate) async fn an_operation_stands_where_its_run_stands(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let other = bench.project("other", 1).await;
    let (run, id) = bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    let find = async || bench.store.find_operation(&project, &id).await.unwrap().unwrap();

    let operation = find().await;
    assert_eq!((operation.kind, operation.session, operation.run), (RunKind::Create, session_id("ada"), run));
    assert_eq!(operation.state, RunState::Pending);
    assert_eq!(bench.store.find_operation(&other, &id).await.unwrap(), None);

    let record = bench.take().await;
    assert_eq!(find().await.state, record.state);
    let record = bench.attempt(record, captured(json!({}))).await;
    assert_eq!(find().await.state, record.state);
    bench.attempt(record, AttemptEnd::CheckPassed).await;
    assert_eq!(find().await.state, RunState::Completed);
}
