//! What belongs to another project does not exist, under whatever route it is asked for.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn ids_of_one_project_are_nothing_in_another() {
    let world = World::new().await;
    world.deploy("other", &json!({"authSessions": {"enabled": true}})).await;
    let create = world.start_create("shop-admin").await;
    world.log_in().await;
    let start = |suffix: &str, body| world.post_json(&format!("/projects/shop/auth-sessions/shop-admin/{suffix}"), &body).send();
    let update = start("update", json!({"parameters": {}})).await.json()["operationId"].as_str().unwrap().to_owned();
    let validate = start("validate/start", json!({})).await.json()["operationId"].as_str().unwrap().to_owned();
    let run = world.start_run("shop", &json!({"api": "orders", "parameters": {}, "authSession": {"id": "shop-admin"}})).await;
    let deployment =
        world.get("/projects/shop/deployments").send().await.json()["deployments"][0]["id"].as_str().unwrap().to_owned();
    for (method, path, body) in [
        ("GET", format!("run/{run}/result"), None),
        ("POST", format!("run/{run}/cancel"), None),
        ("GET", format!("run/{run}/attempts"), None),
        ("GET", format!("run/{run}/attempts/1/log"), None),
        ("GET", format!("run/{run}/attempts/1/trace"), None),
        ("GET", "auth-sessions/shop-admin".to_owned(), None),
        ("DELETE", "auth-sessions/shop-admin".to_owned(), None),
        ("GET", format!("auth-sessions/create/{create}/result"), None),
        ("POST", "auth-sessions/shop-admin/update".to_owned(), Some(json!({"parameters": {}}))),
        ("GET", format!("auth-sessions/shop-admin/update/{update}/result"), None),
        ("POST", "auth-sessions/shop-admin/validate/start".to_owned(), Some(json!({}))),
        ("GET", format!("auth-sessions/shop-admin/validate/{validate}/result"), None),
        ("POST", "run/start".to_owned(), Some(json!({"api": "orders", "parameters": {}, "authSession": {"id": "shop-admin"}}))),
        ("GET", format!("operations/{create}"), None),
        ("GET", format!("deployments/{deployment}"), None),
        ("POST", format!("deployments/{deployment}/activate"), None),
    ] {
        for project in ["other", "nowhere"] {
            let ask = world.ask(method, &format!("/projects/{project}/{path}"));
            let ask = match &body {
                Some(body) => ask.json(body),
                None => ask,
            };
            assert_eq!(ask.send().await.refusal(), (404, "not-found".to_owned()), "{method} {project} {path}");
        }
    }
    // None of it did anything.
    assert_eq!(world.get("/projects/shop/auth-sessions/shop-admin").send().await.status, 200);
    assert_eq!(world.get(&format!("/projects/shop/run/{run}/result")).send().await.json()["status"], "pending");
}
