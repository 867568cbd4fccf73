//! `Idempotency-Key`: the same request again is the same request, and another under its key is refused.

use serde_json::{Value, json};

use crate::world::World;

async fn start(world: &World, path: &str, key: &str, body: &Value) -> crate::world::Answer {
    world.post_json(path, body).header("idempotency-key", key).send().await
}

#[tokio::test]
async fn every_start_answers_a_repeat_with_the_same_ids() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    for (number, (path, first, same, other)) in [
        (
            "/projects/plain/run/start",
            r#"{"api":"orders","parameters":{"a":1,"b":2}}"#,
            r#"{ "parameters":{"b":2,"a":1}, "api":"orders" }"#,
            r#"{"api":"orders","parameters":{"a":1,"b":3}}"#,
        ),
        (
            "/projects/shop/auth-sessions/create",
            r#"{"parameters":{}}"#,
            r#"{ "parameters": {} }"#,
            r#"{"parameters":{"x":null}}"#,
        ),
        (
            "/projects/shop/auth-sessions/shop-admin/update",
            r#"{"parameters":{}}"#,
            r#"{"parameters":{}}"#,
            r#"{"parameters":{"a":""}}"#,
        ),
        ("/projects/shop/auth-sessions/shop-admin/validate/start", "{}", " {}", r#"{"autoRecreate":false}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{number}");
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let answer = start(&world, path, &key, &json(first)).await;
        assert_eq!(answer.status, 201, "{path}");
        let repeated = world
            .post(path)
            .header("content-type", "application/json")
            .header("idempotency-key", &key)
            .bytes(same.to_owned())
            .send()
            .await;
        assert_eq!((repeated.status.as_u16(), repeated.json()), (201, answer.json()), "{path}");
        let reused = start(&world, path, &key, &json(other)).await;
        assert_eq!(reused.refusal(), (400, "bad-request".to_owned()), "{path}");
        let fresh = start(&world, path, &format!("{key}-b"), &json(first)).await;
        assert_ne!(fresh.json(), answer.json(), "{path}");
    }
}

#[tokio::test]
async fn the_same_body_on_another_route_is_another_request() {
    let world = World::new().await;
    world.deploy("plain-2", &json!({})).await;
    world.ready_session("a(b)c").await;
    let body = json!({"api": "orders", "parameters": {}});
    assert_eq!(start(&world, "/projects/plain/run/start", "k", &body).await.status, 201);
    assert_eq!(start(&world, "/projects/plain-2/run/start", "k", &body).await.refusal(), (400, "bad-request".to_owned()));
    let one = start(&world, "/projects/shop/auth-sessions/a(b)c/validate/start", "v", &json!({})).await;
    let same = start(&world, "/projects/shop/auth-sessions/a%28b%29c/validate/start", "v", &json!({})).await;
    assert_eq!(one.json(), same.json());
}

#[tokio::test]
async fn a_repeat_is_answered_even_when_its_session_is_gone() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let path = "/projects/shop/auth-sessions/shop-admin/validate/start";
    let first = start(&world, path, "k", &json!({})).await;
    assert_eq!(world.delete("/projects/shop/auth-sessions/shop-admin").send().await.status, 204);
    assert_eq!(start(&world, path, "k", &json!({})).await.json(), first.json());
    assert_eq!(start(&world, path, "k2", &json!({})).await.refusal(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_refused_request_uses_no_key() {
    let world = World::new().await;
    let path = "/projects/shop/run/start";
    let nobody = json!({"api": "orders", "parameters": {}, "authSession": {"id": "nobody"}});
    assert_eq!(start(&world, path, "k", &nobody).await.refusal(), (404, "not-found".to_owned()));
    world.ready_session("somebody").await;
    let somebody = json!({"api": "orders", "parameters": {}, "authSession": {"id": "somebody"}});
    assert_eq!(start(&world, path, "k", &somebody).await.status, 201);
}

#[tokio::test]
async fn a_key_is_short_and_visible() {
    let world = World::new().await;
    let body = json!({"api": "orders", "parameters": {}});
    let (at_limit, over, huge) = ("k".repeat(255), "k".repeat(256), "k".repeat(10_240));
    for key in ["", "a b", "ä", over.as_str(), huge.as_str()] {
        let answer = start(&world, "/projects/plain/run/start", key, &body).await;
        assert_eq!(answer.refusal(), (400, "bad-request".to_owned()), "{}", &key[..key.len().min(10)]);
    }
    let two = world
        .post_json("/projects/plain/run/start", &body)
        .header("idempotency-key", "a")
        .also("idempotency-key", "b")
        .send()
        .await;
    assert_eq!(two.refusal(), (400, "bad-request".to_owned()));
    assert_eq!(start(&world, "/projects/plain/run/start", &at_limit, &body).await.status, 201);
}
