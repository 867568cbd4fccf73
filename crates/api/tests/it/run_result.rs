//! `GET …/run/{runId}/result`: each state has exactly its own members.

use keywright_domain::{AttemptCode, AttemptEnd, ExtendedPayload};
use serde_json::{Value, json};

use crate::worker::{failed, returned};
use crate::world::World;

async fn result(world: &World, project: &str, run: &str) -> Value {
    let answer = world.get(&format!("/projects/{project}/run/{run}/result")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_run_is_pending_then_started_then_completed() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    assert_eq!(result(&world, "plain", &run).await, json!({"runId": run, "status": "pending"}));
    let record = world.take().await;
    assert_eq!(result(&world, "plain", &run).await, json!({"runId": run, "status": "started"}));
    let payloads = vec![
        ExtendedPayload { api: "orders/details".to_owned(), parameters: json!({"id": 7}) },
        ExtendedPayload { api: "odd".to_owned(), parameters: json!(null) },
    ];
    world.attempt(record, AttemptEnd::Returned { result: json!({"items": 3}), payloads }, None).await;
    assert_eq!(
        result(&world, "plain", &run).await,
        json!({"runId": run, "status": "completed", "result": {"items": 3},
               "extendedPayloads": [{"api": "orders/details", "parameters": {"id": 7}}, {"api": "odd"}]})
    );
}

#[tokio::test]
async fn a_null_result_is_still_a_result() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    let record = world.take().await;
    world.attempt(record, returned(Value::Null), None).await;
    assert_eq!(result(&world, "plain", &run).await, json!({"runId": run, "status": "completed", "result": null}));
}

#[tokio::test]
async fn a_failed_run_wraps_its_last_attempt() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}, "retry": {"maximumAttempts": 2}})).await;
    let record = world.take().await;
    let record = world.attempt(record, failed(AttemptCode::ScriptProcessCrashed), None).await;
    world.attempt(record, failed(AttemptCode::ScriptTimeout), None).await;
    let message = "the API failed after 2 attempts: the page said no";
    assert_eq!(
        result(&world, "plain", &run).await,
        json!({"runId": run, "status": "failed", "message": message, "error": {
            "message": message, "code": "api-attempts-failed", "category": "execution", "retirable": false, "details": {
                "attempts_count": 2,
                "last_error": {"code": "script-timeout", "category": "execution", "message": "the page said no"}}}})
    );
}

#[tokio::test]
async fn a_run_whose_login_cannot_be_had_is_canceled_with_the_cause() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let login = json!({"id": "shop-admin", "autoRecreate": false, "checkAttempts": 1});
    let body = json!({"api": "orders", "parameters": {}, "authSession": login});
    let run = world.start_run("shop", &body).await;
    let record = world.take().await;
    world.attempt(record, failed(AttemptCode::AuthCheckFailed), None).await;
    let message = "the check failed after 1 attempt: the page said no";
    assert_eq!(
        result(&world, "shop", &run).await,
        json!({"runId": run, "status": "canceled", "message": message, "reason": {
            "type": "auth-session-validate-dependency-failed", "message": message, "details": {
                "cause": "check-attempts-failed", "attempts_count": 1,
                "last_error": {"code": "auth-check-failed", "category": "auth", "message": "the page said no"}}}})
    );
}

#[tokio::test]
async fn a_run_whose_session_was_deleted_is_canceled_with_that_cause() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let run = world.start_run("shop", &json!({"api": "orders", "parameters": {}, "authSession": {"id": "shop-admin"}})).await;
    assert_eq!(world.delete("/projects/shop/auth-sessions/shop-admin").send().await.status, 204);
    world.take().await;
    let result = result(&world, "shop", &run).await;
    assert_eq!(
        (&result["status"], &result["reason"]["details"]["cause"]),
        (&json!("canceled"), &json!("auth-session-not-found"))
    );
}

#[tokio::test]
async fn what_is_no_run_of_this_project_is_a_404() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    for path in [
        format!("/projects/shop/run/{run}/result"),
        "/projects/plain/run/_____________________/result".to_owned(),
        "/projects/plain/run/short/result".to_owned(),
        "/projects/plain/run/'%20OR%201=1--/result".to_owned(),
        "/projects/plain/run/%ff%fe/result".to_owned(),
        format!("/projects/nowhere/run/{run}/result"),
    ] {
        assert_eq!(world.get(&path).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
}
