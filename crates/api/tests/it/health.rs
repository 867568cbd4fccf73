//! Health.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn probes_need_no_key() {
    let world = World::new().await;
    let report = world.get("/health").without("x-api-key").send().await;
    assert_eq!(
        (report.status.as_u16(), report.json()),
        (200, json!({"status": "ok", "server": {"version": "1.2.3", "protections": {"sandbox": true}}}))
    );
    for path in ["/health/live", "/health/ready"] {
        let answer = world.get(path).without("x-api-key").send().await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"status": "ok"})), "{path}");
    }
}

#[tokio::test]
async fn a_server_without_its_database_lives_but_is_not_ready() {
    let world = World::new().await;
    world.store.close().await;
    for path in ["/health", "/health/ready"] {
        let answer = world.get(path).send().await;
        assert_eq!(answer.refusal(), (503, "service-unavailable".to_owned()), "{path}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(world.get("/health/live").send().await.status, 200);
}
