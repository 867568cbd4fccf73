//! `POST …/auth-sessions/{authSessionId}/validate/start`.

use keywright_domain::RunKind;
use serde_json::json;

use crate::world::World;

const VALIDATE: &str = "/projects/shop/auth-sessions/shop-admin/validate/start";

#[tokio::test]
async fn an_empty_request_means_the_defaults() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let answer = world.post_json(VALIDATE, &json!({})).send().await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].clone()), (201, json!("pending")));
    let record = world.take().await;
    assert_eq!((record.plan.kind, record.plan.may_recreate), (RunKind::Validate, true));
    assert_eq!((record.plan.budgets.create.get(), record.plan.budgets.check.get(), record.session_timeout.get()), (3, 3, 600));
}

#[tokio::test]
async fn what_was_asked_reaches_the_run() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let body =
        json!({"autoRecreate": false, "checkAttempts": 1, "createAttempts": 2, "requestTimeout": 5, "proxy": "http://h.test:1"});
    assert_eq!(world.post_json(VALIDATE, &body).send().await.status, 201);
    let record = world.take().await;
    assert!(!record.plan.may_recreate);
    assert_eq!((record.plan.budgets.create.get(), record.plan.budgets.check.get(), record.session_timeout.get()), (2, 1, 5));
    assert!(record.proxy.is_some() && record.session_input.is_none());
}

#[tokio::test]
async fn what_cannot_be_validated_is_refused() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    for body in [
        json!({"autoRecreate": null}),
        json!({"autoRecreate": "true"}),
        json!({"requestTimeout": 0}),
        json!({"requestTimeout": 21_601}),
        json!({"checkAttempts": 101}),
        json!({"createAttempts": -1}),
        json!({"proxy": "intuned://auto"}),
        json!("text"),
    ] {
        assert_eq!(world.post_json(VALIDATE, &body).send().await.refusal(), (400, "bad-request".to_owned()), "{body}");
    }
    let nobody = world.post_json("/projects/shop/auth-sessions/nobody/validate/start", &json!({})).send().await;
    assert_eq!(nobody.refusal(), (404, "not-found".to_owned()));
}
