//! `GET …/run/{runId}/events`.

use keywright_domain::AttemptCode;
use serde_json::json;

use crate::worker::{failed, returned};
use crate::world::World;

#[tokio::test]
async fn a_runs_history_is_told_in_order() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    let record = world.take().await;
    let record = world.attempt(record, failed(AttemptCode::ScriptTimeout), None).await;
    world.attempt(record, returned(json!(1)), None).await;
    let answer = world.get(&format!("/projects/plain/run/{run}/events")).send().await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!(answer.json(), {".events[].at" => "[time]", ".events[].workerId" => "[worker]"}, @r#"
    {
      "events": [
        {
          "at": "[time]",
          "kind": "accepted",
          "epoch": 0
        },
        {
          "at": "[time]",
          "kind": "claimed",
          "epoch": 1,
          "workerId": "[worker]"
        },
        {
          "at": "[time]",
          "kind": "moved",
          "epoch": 1,
          "workerId": "[worker]",
          "detail": "started/api"
        },
        {
          "at": "[time]",
          "kind": "attempt-begun",
          "epoch": 1,
          "workerId": "[worker]",
          "attempt": 1,
          "detail": "api"
        },
        {
          "at": "[time]",
          "kind": "attempt-ended",
          "epoch": 1,
          "workerId": "[worker]",
          "attempt": 1,
          "detail": "failed"
        },
        {
          "at": "[time]",
          "kind": "attempt-begun",
          "epoch": 1,
          "workerId": "[worker]",
          "attempt": 2,
          "detail": "api"
        },
        {
          "at": "[time]",
          "kind": "attempt-ended",
          "epoch": 1,
          "workerId": "[worker]",
          "attempt": 2,
          "detail": "succeeded"
        },
        {
          "at": "[time]",
          "kind": "moved",
          "epoch": 1,
          "workerId": "[worker]",
          "detail": "completed"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_run_that_was_canceled_before_it_began_says_so() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    assert_eq!(world.post(&format!("/projects/plain/run/{run}/cancel")).send().await.status, 200);
    let events = world.get(&format!("/projects/plain/run/{run}/events")).send().await.json();
    let told: Vec<(&str, Option<&str>)> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["kind"].as_str().unwrap(), event.get("detail").and_then(|detail| detail.as_str())))
        .collect();
    assert_eq!(told, [("accepted", None), ("moved", Some("canceled"))]);
}

#[tokio::test]
async fn what_is_no_run_of_the_project_is_a_404() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    for path in [format!("/projects/shop/run/{run}/events"), "/projects/plain/run/nothing/events".to_owned()] {
        assert_eq!(world.get(&path).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
}
