//! `GET …/run/{runId}/attempts`, and the log and trace of each.

use bytes::Bytes;
use keywright_domain::{AttemptCode, AttemptNumber};
use keywright_store::{Attempts as _, BlobKey, StoredBlob};
use serde_json::json;

use crate::worker::{failed, returned};
use crate::world::World;

const LOG: &str = "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"level\":\"info\",\"stream\":\"stdout\",\"message\":\"hello\"}\n";

/// A run with one failed attempt, which has a log and a trace on its way, and one that succeeded without either.
async fn run_with_attempts(world: &World) -> String {
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    let log = BlobKey::parse(&format!("attempts/{run}/1.log.jsonl")).unwrap();
    world.blobs.put(&world.workspace, &log, Bytes::from_static(LOG.as_bytes())).await.unwrap();
    let record = world.take().await;
    let record = world.attempt(record, failed(AttemptCode::ScriptTimeout), Some(log)).await;
    world.attempt(record, returned(json!(1)), None).await;
    run
}

async fn file_trace(world: &World, run: &str, key: BlobKey) {
    let run = keywright_domain::RunId::parse(run).unwrap();
    world.store.file_trace(&run, AttemptNumber::new(1).unwrap(), StoredBlob { key, size_bytes: 7 }).await.unwrap();
}

#[tokio::test]
async fn attempts_are_listed_with_how_they_ended() {
    let world = World::new().await;
    let run = run_with_attempts(&world).await;
    let answer = world.get(&format!("/projects/plain/run/{run}/attempts")).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["attempts"][0]["workerId"], world.worker.as_str());
    insta::assert_json_snapshot!(answer.json(), {
        ".attempts[].startedAt" => "[time]", ".attempts[].endedAt" => "[time]", ".attempts[].workerId" => "[worker]"
    }, @r#"
    {
      "attempts": [
        {
          "number": 1,
          "workerId": "[worker]",
          "stage": "api",
          "status": "failed",
          "error": {
            "message": "the page said no",
            "code": "script-timeout",
            "category": "execution",
            "retirable": true
          },
          "startedAt": "[time]",
          "endedAt": "[time]",
          "hasLog": true,
          "trace": {
            "status": "pending"
          }
        },
        {
          "number": 2,
          "workerId": "[worker]",
          "stage": "api",
          "status": "succeeded",
          "startedAt": "[time]",
          "endedAt": "[time]",
          "hasLog": false,
          "trace": {
            "status": "none"
          }
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_log_is_downloaded_and_never_shown() {
    let world = World::new().await;
    let run = run_with_attempts(&world).await;
    let answer = world.get(&format!("/projects/plain/run/{run}/attempts/1/log")).send().await;
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, LOG.as_bytes()));
    assert_eq!(answer.header("content-type"), "application/x-ndjson; charset=utf-8");
    assert!(answer.header("content-disposition").starts_with("attachment; "));
    assert!(answer.header("content-security-policy").contains("sandbox"));
    let none = world.get(&format!("/projects/plain/run/{run}/attempts/2/log")).send().await;
    assert_eq!(none.refusal(), (404, "not-found".to_owned()));
    assert_eq!(none.json()["retirable"], false);
}

#[tokio::test]
async fn a_trace_is_there_once_it_is_clean() {
    let world = World::new().await;
    let run = run_with_attempts(&world).await;
    let path = format!("/projects/plain/run/{run}/attempts/1/trace");
    let pending = world.get(&path).send().await;
    assert_eq!((pending.status.as_u16(), pending.json()["retirable"].clone()), (404, json!(true)));

    let key = BlobKey::parse("attempts/run/1.trace.zip").unwrap();
    world.blobs.put(&world.workspace, &key, Bytes::from_static(b"PK\x03\x04zip")).await.unwrap();
    file_trace(&world, &run, key).await;
    let stored = world.get(&path).send().await;
    assert_eq!((stored.status.as_u16(), stored.body.as_slice()), (200, b"PK\x03\x04zip".as_slice()));
    assert_eq!(stored.header("content-type"), "application/zip");
    assert_eq!(
        stored.header("content-disposition"),
        format!("attachment; filename=\"{run}-1.trace.zip\"; filename*=UTF-8''{run}-1.trace.zip")
    );
}

#[tokio::test]
async fn a_trace_that_is_gone_is_a_404() {
    let world = World::new().await;
    let run = run_with_attempts(&world).await;
    file_trace(&world, &run, BlobKey::parse("attempts/run/gone.zip").unwrap()).await;
    let path = format!("/projects/plain/run/{run}/attempts/1/trace");
    assert_eq!(world.get(&path).send().await.refusal(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_trace_that_was_not_kept_says_why() {
    let world = World::new().await;
    let run = run_with_attempts(&world).await;
    let id = keywright_domain::RunId::parse(&run).unwrap();
    world.store.drop_trace(&id, AttemptNumber::new(1).unwrap(), "it held a known secret").await.unwrap();
    let dropped = world.get(&format!("/projects/plain/run/{run}/attempts/1/trace")).send().await;
    assert_eq!(dropped.message(), "the trace was not kept: it held a known secret");
    let listed = world.get(&format!("/projects/plain/run/{run}/attempts")).send().await.json();
    assert_eq!(listed["attempts"][0]["trace"], json!({"status": "dropped", "reason": "it held a known secret"}));
}

#[tokio::test]
async fn what_is_no_attempt_is_a_404() {
    let world = World::new().await;
    let run = run_with_attempts(&world).await;
    for path in [
        format!("/projects/shop/run/{run}/attempts"),
        "/projects/plain/run/nothing/attempts".to_owned(),
        format!("/projects/plain/run/{run}/attempts/3/log"),
        format!("/projects/plain/run/{run}/attempts/0/log"),
        format!("/projects/plain/run/{run}/attempts/-1/trace"),
        format!("/projects/plain/run/{run}/attempts/99999999999999999999/trace"),
        format!("/projects/shop/run/{run}/attempts/1/log"),
        format!("/projects/shop/run/{run}/attempts/1/trace"),
    ] {
        assert_eq!(world.get(&path).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
}
