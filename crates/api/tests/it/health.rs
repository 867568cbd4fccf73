//! Health.

use keywright_store::Store as _;
use serde_json::json;
use tower::ServiceExt as _;

use crate::world::World;

#[tokio::test]
async fn probes_need_no_key() {
    let world = World::new().await;
    let report = world.get("/health").without("x-api-key").send().await;
    let server = json!({
        "version": "1.2.3", "roles": ["api"], "database": {"kind": "sqlite", "isReachable": true}, "liveWorkers": 1
    });
    assert_eq!((report.status.as_u16(), report.json()), (200, json!({"status": "ok", "server": server})));
    for path in ["/health/live", "/health/ready"] {
        let answer = world.get(path).without("x-api-key").send().await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"status": "ok"})), "{path}");
    }
}

#[tokio::test]
async fn a_server_without_its_database_lives_but_is_not_ready() {
    let world = World::new().await;
    assert_eq!(world.get("/health/ready").send().await.status, 200);
    world.store.close().await;
    world.clock.pass_seconds(1);
    for path in ["/health", "/health/ready"] {
        let answer = world.get(path).send().await;
        assert_eq!(answer.refusal(), (503, "service-unavailable".to_owned()), "{path}");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.json()["details"]["reasons"], json!(["the database does not answer or cannot take writes"]));
    }
    let report = world.get("/health").send().await.json();
    assert_eq!(report["details"]["server"]["database"], json!({"kind": "sqlite", "isReachable": false}));
    assert_eq!(world.get("/health/live").send().await.status, 200);
}

#[tokio::test]
async fn a_server_that_ends_says_so_and_goes_on_serving() {
    let world = World::new().await;
    world.vitals.troubles.lock().unwrap().push("the server is ending".to_owned());
    let answer = world.get("/health/ready").send().await;
    assert_eq!(answer.refusal(), (503, "service-unavailable".to_owned()));
    assert_eq!(answer.message(), "this server is not ready: the server is ending");
    assert_eq!(world.get("/health/live").send().await.status, 200);
    assert_eq!(world.get("/projects").send().await.status, 200);
    world.vitals.troubles.lock().unwrap().clear();
    assert_eq!(world.get("/health/ready").send().await.status, 200);
}

#[tokio::test]
async fn many_probes_are_one_question_to_the_database() {
    let world = World::new().await;
    assert_eq!(world.get("/health/ready").send().await.status, 200);
    // Nobody asks again so soon, so nobody finds out.
    world.store.close().await;
    assert_eq!(world.get("/health/ready").send().await.status, 200);
}

#[tokio::test]
async fn a_node_that_serves_nobody_answers_probes_and_nothing_else() {
    let world = World::new().await;
    for (path, status) in [
        ("/health".to_owned(), 200),
        ("/health/live".to_owned(), 200),
        ("/health/ready".to_owned(), 200),
        ("/openapi.json".to_owned(), 404),
        ("/docs".to_owned(), 404),
        (format!("/api/v1/workspace/{}/projects", world.workspace), 404),
    ] {
        let request = axum::http::Request::get(&path).header("x-api-key", crate::world::KEY).body(axum::body::Body::empty());
        let answer = world.health_router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
}
