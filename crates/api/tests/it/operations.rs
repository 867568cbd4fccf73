//! `GET …/operations/{operationId}`.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn an_operation_tells_its_run_so_that_its_attempts_can_be_found() {
    let world = World::new().await;
    let operation = world.start_create("shop-admin").await;
    let record = world.take().await;
    let record = world.attempt(record, crate::worker::captured(), None).await;
    let answer = world.get(&format!("/projects/shop/operations/{operation}")).send().await;
    assert_eq!(
        answer.json(),
        json!({"operationId": operation, "kind": "create", "runId": record.id.as_str(), "authSessionId": "shop-admin",
               "status": "in_progress"})
    );
    let attempts = world.get(&format!("/projects/shop/run/{}/attempts", record.id)).send().await.json();
    assert_eq!(attempts["attempts"][0]["stage"], "create");
    for path in [format!("/projects/plain/operations/{operation}"), "/projects/shop/operations/unknown".to_owned()] {
        assert_eq!(world.get(&path).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
}
