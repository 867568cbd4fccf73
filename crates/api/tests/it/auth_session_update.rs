//! `POST …/auth-sessions/{authSessionId}/update`.

use keywright_domain::RunKind;
use serde_json::json;

use crate::world::{CANARY, World};

#[tokio::test]
async fn an_update_logs_in_with_new_input() {
    let world = World::new().await;
    world.ready_session("a(b),c").await;
    // Both spellings that clients use reach the same session.
    for id in ["a(b),c", "a%28b%29%2Cc"] {
        let path = format!("/projects/shop/auth-sessions/{id}/update");
        let body = json!({
            "parameters": {"password": CANARY}, "proxy": "socks5://h.test:1080", "createAttempts": 7.0, "checkAttempts": 2,
            "saveTrace": false,
        });
        let answer = world.post_json(&path, &body).send().await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["status"], "started");
        let record = world.take().await;
        assert_eq!(record.plan.kind, RunKind::Update);
        assert_eq!((record.plan.budgets.create.get(), record.plan.budgets.check.get()), (7, 2));
        assert!(!record.is_session_trace_wanted);
        assert_eq!(record.session_input.as_ref().unwrap().reveal()["password"], CANARY);
        let record = world.attempt(record, crate::worker::captured(), None).await;
        world.attempt(record, keywright_domain::AttemptEnd::CheckPassed, None).await;
    }
}

#[tokio::test]
async fn what_cannot_be_updated_is_refused() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let path = "/projects/shop/auth-sessions/shop-admin/update";
    for body in [
        json!({}),
        json!({"parameters": null}),
        json!({"parameters": {}, "createAttempts": 0}),
        json!({"parameters": {}, "checkAttempts": 1.5}),
        json!({"parameters": {}, "proxy": "gopher://x"}),
        json!([]),
    ] {
        assert_eq!(world.post_json(path, &body).send().await.refusal(), (400, "bad-request".to_owned()), "{body}");
    }
    for id in ["nobody", "no", "%27--", "%ff"] {
        let answer =
            world.post_json(&format!("/projects/shop/auth-sessions/{id}/update"), &json!({"parameters": {}})).send().await;
        assert_eq!(answer.refusal(), (404, "not-found".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn a_runtime_session_has_no_stored_input_to_update() {
    let world = World::new().await;
    world
        .start_run("shop", &json!({"api": "orders", "parameters": {}, "authSession": {"id": "runtime-1", "runtimeInput": {}}}))
        .await;
    let answer = world.post_json("/projects/shop/auth-sessions/runtime-1/update", &json!({"parameters": {}})).send().await;
    assert_eq!(answer.refusal(), (400, "bad-request".to_owned()));
}
