//! The results of create, update and validate: one union, and an operation is found only where it belongs.

use keywright_domain::{AttemptCode, AttemptEnd};
use serde_json::json;

use crate::worker::{captured, failed};
use crate::world::World;

#[tokio::test]
async fn a_create_is_pending_then_in_progress_then_done() {
    let world = World::new().await;
    let operation = world.start_create("shop-admin").await;
    let path = format!("/projects/shop/auth-sessions/create/{operation}/result");
    assert_eq!(world.get(&path).send().await.json(), json!({"status": "pending"}));
    let record = world.take().await;
    assert_eq!(world.get(&path).send().await.json(), json!({"status": "in_progress", "runId": record.id.as_str()}));
    let record = world.attempt(record, captured(), None).await;
    assert_eq!(world.get(&path).send().await.json()["status"], "in_progress");
    world.attempt(record, AttemptEnd::CheckPassed, None).await;
    let done = world.get(&path).send().await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!({"status": "done", "authSessionId": "shop-admin"})));
}

#[tokio::test]
async fn each_stage_fails_with_its_own_code() {
    let world = World::new().await;
    let operation = world.start_create("one-one").await;
    let mut record = world.take().await;
    for _ in 0..3 {
        record = world.attempt(record, failed(AttemptCode::ScriptExecutionException), None).await;
    }
    let result = world.get(&format!("/projects/shop/auth-sessions/create/{operation}/result")).send().await;
    let message = "the login failed after 3 attempts: the page said no";
    assert_eq!(
        result.json(),
        json!({"status": "failed", "message": message, "error": {
            "message": message, "code": "create-attempts-failed", "category": "auth", "retirable": false, "details": {
                "attempts_count": 3,
                "last_error": {"code": "script-execution-exception", "category": "execution", "message": "the page said no"}}}})
    );

    let operation = world.start_create("two-two").await;
    let record = world.take().await;
    let mut record = world.attempt(record, captured(), None).await;
    for _ in 0..3 {
        record = world.attempt(record, failed(AttemptCode::AuthCheckFailed), None).await;
    }
    let result = world.get(&format!("/projects/shop/auth-sessions/create/{operation}/result")).send().await.json();
    assert_eq!(result["error"]["code"], "post-create-check-attempts-failed");

    world.ready_session("three").await;
    let body = json!({"autoRecreate": false, "checkAttempts": 1});
    let started = world.post_json("/projects/shop/auth-sessions/three/validate/start", &body).send().await.json();
    let record = world.take().await;
    world.attempt(record, failed(AttemptCode::AuthCheckFailed), None).await;
    let path = format!("/projects/shop/auth-sessions/three/validate/{}/result", started["operationId"].as_str().unwrap());
    let result = world.get(&path).send().await.json();
    assert_eq!((&result["status"], &result["error"]["code"]), (&json!("failed"), &json!("check-attempts-failed")));
}

#[tokio::test]
async fn every_attempt_lost_to_our_own_faults_can_be_tried_again() {
    let world = World::new().await;
    let operation = world.start_create("shop-admin").await;
    let mut record = world.take().await;
    for _ in 0..3 {
        record = world.attempt(record, failed(AttemptCode::InternalServerError), None).await;
    }
    let result = world.get(&format!("/projects/shop/auth-sessions/create/{operation}/result")).send().await.json();
    let error = &result["error"];
    assert_eq!(
        (&error["code"], &error["category"], &error["retirable"]),
        (&json!("internal-server-error"), &json!("infrastructure"), &json!(true))
    );
}

#[tokio::test]
async fn an_operation_is_found_only_under_its_kind_its_session_and_its_project() {
    let world = World::new().await;
    let create = world.start_create("first").await;
    world.log_in().await;
    world.ready_session("second").await;
    let started = world.post_json("/projects/shop/auth-sessions/first/update", &json!({"parameters": {}})).send().await.json();
    let update = started["operationId"].as_str().unwrap().to_owned();
    world.log_in().await;
    let started = world.post_json("/projects/shop/auth-sessions/first/validate/start", &json!({})).send().await.json();
    let validate = started["operationId"].as_str().unwrap().to_owned();

    let sessions = "/projects/shop/auth-sessions";
    for path in
        [format!("create/{create}/result"), format!("first/update/{update}/result"), format!("first/validate/{validate}/result")]
    {
        assert_eq!(world.get(&format!("{sessions}/{path}")).send().await.status, 200, "{path}");
    }
    for path in [
        format!("create/{update}/result"),
        format!("create/{validate}/result"),
        format!("first/update/{create}/result"),
        format!("first/update/{validate}/result"),
        format!("first/validate/{update}/result"),
        format!("second/update/{update}/result"),
        format!("second/validate/{validate}/result"),
        format!("nobody/update/{update}/result"),
        "create/unknown/result".to_owned(),
        "create/_____________________/result".to_owned(),
        "first/update/';DROP%20TABLE%20runs;--/result".to_owned(),
        "first/validate/%00/result".to_owned(),
    ] {
        assert_eq!(world.get(&format!("{sessions}/{path}")).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
    let elsewhere = world.get(&format!("/projects/plain/auth-sessions/create/{create}/result")).send().await;
    assert_eq!(elsewhere.refusal(), (404, "not-found".to_owned()));
}
