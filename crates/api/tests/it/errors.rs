//! When it is our fault: the caller learns an id to ask about and nothing else.

use std::sync::atomic::Ordering;

use serde_json::json;

use keywright_store::Store as _;

use crate::world::World;

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_and_the_next_request_is_served() {
    let world = World::new().await;
    world.entropy.panics_at_keys.store(true, Ordering::SeqCst);
    let answer = world.post_json("/keys", &json!({"name": "x"})).send().await;
    assert_eq!(answer.refusal(), (500, "internal-server-error".to_owned()));
    assert_eq!(answer.message(), "something went wrong in the server; its log has more under the correlation id");
    assert_eq!((answer.json()["category"].clone(), answer.json()["retirable"].clone()), (json!("infrastructure"), json!(true)));
    assert!(answer.json().get("details").is_none());
    world.entropy.panics_at_keys.store(false, Ordering::SeqCst);
    assert_eq!(world.post_json("/keys", &json!({"name": "x"})).send().await.status, 201);
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_503_with_when_to_come_again() {
    let world = World::new().await;
    world.store.close().await;
    for ask in [world.get("/projects"), world.post_json("/projects/plain/run/start", &json!({"api": "orders", "parameters": {}}))]
    {
        let answer = ask.send().await;
        assert_eq!(answer.refusal(), (503, "service-unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), "1");
        assert!(!answer.message().to_lowercase().contains("sql"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_line_with_a_host_is_refused() {
    let world = World::new().await;
    let answer = world.get("http://evil.example/health").send().await;
    assert_eq!(answer.refusal(), (400, "bad-request".to_owned()));
}
