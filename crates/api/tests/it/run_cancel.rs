//! `POST …/run/{runId}/cancel`.

use serde_json::json;

use crate::worker::returned;
use crate::world::World;

#[tokio::test]
async fn a_canceled_run_stays_canceled() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    let expected = json!({"runId": run, "status": "canceled", "message": "canceled by a user",
                          "reason": {"type": "cancelled-user-action", "message": "canceled by a user"}});
    for _ in 0..2 {
        let answer = world.post(&format!("/projects/plain/run/{run}/cancel")).send().await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected.clone()));
    }
    assert_eq!(world.get(&format!("/projects/plain/run/{run}/result")).send().await.json(), expected);
}

#[tokio::test]
async fn an_ended_run_is_left_as_it_is() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    let record = world.take().await;
    world.attempt(record, returned(json!(1)), None).await;
    let answer = world.post(&format!("/projects/plain/run/{run}/cancel")).send().await;
    assert_eq!(answer.json(), json!({"runId": run, "status": "completed", "result": 1}));
}

#[tokio::test]
async fn the_run_of_an_operation_can_be_canceled_too() {
    let world = World::new().await;
    let operation = world.start_create("shop-admin").await;
    let run =
        world.get(&format!("/projects/shop/operations/{operation}")).send().await.json()["runId"].as_str().unwrap().to_owned();
    assert_eq!(world.post(&format!("/projects/shop/run/{run}/cancel")).send().await.status, 200);
    let result = world.get(&format!("/projects/shop/auth-sessions/create/{operation}/result")).send().await.json();
    assert_eq!((&result["status"], &result["reason"]["type"]), (&json!("canceled"), &json!("cancelled-user-action")));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_canceled() {
    let world = World::new().await;
    let run = world.start_run("plain", &json!({"api": "orders", "parameters": {}})).await;
    for path in [format!("/projects/shop/run/{run}/cancel"), "/projects/plain/run/x/cancel".to_owned()] {
        assert_eq!(world.post(&path).send().await.refusal(), (404, "not-found".to_owned()));
    }
}
