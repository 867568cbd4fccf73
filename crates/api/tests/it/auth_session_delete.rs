//! `DELETE …/auth-sessions/{authSessionId}`.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_deleted_session_is_gone_at_once() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let path = "/projects/shop/auth-sessions/shop-admin";
    // One client asks for anything, the other for JSON; both get nothing.
    let answer = world.delete(path).header("accept", "*/*").send().await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(world.delete(path).send().await.refusal(), (404, "not-found".to_owned()));
    assert_eq!(world.get(path).send().await.refusal(), (404, "not-found".to_owned()));
    let run = json!({"api": "orders", "parameters": {}, "authSession": {"id": "shop-admin"}});
    assert_eq!(world.post_json("/projects/shop/run/start", &run).send().await.refusal(), (404, "not-found".to_owned()));
    assert_eq!(world.delete("/projects/plain/auth-sessions/shop-admin").send().await.refusal(), (404, "not-found".to_owned()));
}
