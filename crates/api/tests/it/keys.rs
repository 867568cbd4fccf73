//! API keys.

use serde_json::json;

use crate::world::{KEY, World};

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let world = World::new().await;
    let made = world.post_json("/keys", &json!({"name": "ci"})).send().await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("kw_") && key.len() == 46, "{key}");
    assert_eq!(made, json!({"id": made["id"], "name": "ci", "key": key, "createdAt": made["createdAt"]}));
    assert_eq!(world.get("/projects").header("x-api-key", key).send().await.status, 200);

    let listed = world.get("/keys").send().await;
    assert!(!String::from_utf8(listed.body.clone()).unwrap().contains(key));
    let names: Vec<_> = listed.json()["keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, [json!("first"), json!("ci")]);

    let path = format!("/keys/{}", made["id"].as_str().unwrap());
    for _ in 0..2 {
        let revoked = world.delete(&path).send().await;
        assert_eq!((revoked.status.as_u16(), revoked.body.len()), (204, 0));
    }
    assert_eq!(world.get("/projects").header("x-api-key", key).send().await.refusal(), (401, "unauthorized".to_owned()));
    assert!(world.get("/keys").send().await.json()["keys"][1]["revokedAt"].is_string());
}

#[tokio::test]
async fn a_key_cannot_revoke_itself_so_one_always_lives() {
    let world = World::new().await;
    let own = world.get("/keys").send().await.json()["keys"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.delete(&format!("/keys/{own}")).send().await.refusal(), (400, "bad-request".to_owned()));
    assert_eq!(world.get("/keys").header("x-api-key", KEY).send().await.status, 200);
    for id in ["unknown", "_____________________", "%27"] {
        assert_eq!(world.delete(&format!("/keys/{id}")).send().await.refusal(), (404, "not-found".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn a_name_is_for_people() {
    let world = World::new().await;
    for body in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "a\nb"}),
        json!({"name": "x".repeat(101)}),
        json!({"name": 1}),
        json!({"name": null}),
    ] {
        let answer = world.post_json("/keys", &body).send().await;
        assert_eq!(answer.refusal(), (400, "bad-request".to_owned()), "{body}");
        assert_eq!(answer.json()["details"]["path"], "name", "{body}");
    }
    assert_eq!(world.post_json("/keys", &json!({"name": "<b>Ünï</b>"})).send().await.json()["name"], "<b>Ünï</b>");
}
