//! `GET …/auth-sessions/{authSessionId}`.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn both_spellings_of_a_name_reach_the_same_session() {
    let world = World::new().await;
    world.ready_session("a(b),c").await;
    for id in ["a(b),c", "a%28b%29%2Cc", "%61(b)%2cc"] {
        let answer = world.get(&format!("/projects/shop/auth-sessions/{id}")).send().await;
        assert_eq!(answer.json(), json!({"id": "a(b),c", "type": "CREDENTIALS", "status": "READY"}), "{id}");
    }
}

#[tokio::test]
async fn a_session_may_be_named_like_a_route() {
    let world = World::new().await;
    world.ready_session("create").await;
    let path = "/projects/shop/auth-sessions/create";
    assert_eq!(world.get(path).send().await.json()["id"], "create");
    let update = world.post_json(&format!("{path}/update"), &json!({"parameters": {}})).send().await;
    assert_eq!(update.status, 201, "{update:?}");
    let result = world.get(&format!("{path}/update/{}/result", update.json()["operationId"].as_str().unwrap())).send().await;
    assert_eq!(result.json(), json!({"status": "pending"}));
    assert_eq!(world.post_json(&format!("{path}/validate/start"), &json!({})).send().await.status, 201);
    assert_eq!(world.delete(path).send().await.status, 204);
    assert_eq!(world.get(path).send().await.refusal(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn any_other_name_is_a_404() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    for id in ["nobody", "x", "SHOP-ADMIN", "shop-admin%20", "%ff", "a%2Fb", "shop-admin%00", "..%2Fshop-admin", "%2e%2e"] {
        let answer = world.get(&format!("/projects/shop/auth-sessions/{id}")).send().await;
        assert_eq!(answer.refusal(), (404, "not-found".to_owned()), "{id}");
    }
    assert_eq!(world.get("/projects/plain/auth-sessions/shop-admin").send().await.refusal(), (404, "not-found".to_owned()));
}
