//! `GET …/auth-sessions`.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn sessions_are_a_bare_array_by_name_and_hold_nothing_secret() {
    let world = World::new().await;
    assert_eq!(world.get("/projects/shop/auth-sessions").send().await.json(), json!([]));
    world.ready_session("second").await;
    world.start_create("first").await;
    let answer = world.get("/projects/shop/auth-sessions").send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (
            200,
            json!([
                {"id": "first", "type": "CREDENTIALS", "status": "PENDING"},
                {"id": "second", "type": "CREDENTIALS", "status": "READY"},
            ])
        )
    );
    assert_eq!(world.get("/projects/plain/auth-sessions").send().await.json(), json!([]));
    assert_eq!(world.get("/projects/nowhere/auth-sessions").send().await.refusal(), (404, "not-found".to_owned()));
}
