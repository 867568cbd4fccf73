//! `POST …/auth-sessions/create`.

use keywright_domain::{ProxyUrl, RunKind};
use serde_json::{Value, json};

use crate::world::{CANARY, World};

const CREATE: &str = "/projects/shop/auth-sessions/create";

#[tokio::test]
async fn the_published_example_is_accepted_as_it_is() {
    let world = World::new().await;
    let body = json!({
        "parameters": {"username": "ada", "password": CANARY}, "proxy": "http://proxy.example.test:8080",
        "createAttempts": 3, "checkAttempts": 3, "saveTrace": true, "requestTimeout": 60_000,
    });
    let answer = world.post_json(CREATE, &body).send().await;
    assert_eq!(answer.status, 201);
    let body = answer.json();
    assert_eq!(body, json!({"status": "started", "operationId": body["operationId"]}));

    let record = world.take().await;
    assert_eq!((record.plan.kind, record.session_timeout.get()), (RunKind::Create, 21_600));
    assert_eq!(record.session_input.unwrap().reveal()["password"], CANARY);
    assert_eq!(record.proxy, Some(ProxyUrl::parse("http://proxy.example.test:8080").unwrap()));
    assert!(record.session.unwrap().id.as_str().starts_with("auth-session-"));
}

#[tokio::test]
async fn defaults_are_those_of_the_contract() {
    let world = World::new().await;
    assert_eq!(world.post_json(CREATE, &json!({"parameters": {}, "proxy": null, "id": "a(b),c_d-1"})).send().await.status, 201);
    let record = world.take().await;
    assert_eq!((record.plan.budgets.create.get(), record.plan.budgets.check.get()), (3, 3));
    assert_eq!((record.session_timeout.get(), record.is_session_trace_wanted), (600, true));
    assert!(record.proxy.is_none());
    assert_eq!(record.session.unwrap().id.as_str(), "a(b),c_d-1");
}

#[tokio::test]
async fn a_first_login_is_pending_and_a_second_under_its_name_keeps_the_first_in_force() {
    let world = World::new().await;
    world.start_create("shop-admin").await;
    let session = || world.get("/projects/shop/auth-sessions/shop-admin").send();
    assert_eq!(session().await.json(), json!({"id": "shop-admin", "type": "CREDENTIALS", "status": "PENDING"}));
    world.log_in().await;
    assert_eq!(session().await.json()["status"], "READY");
    world.start_create("shop-admin").await;
    assert_eq!(session().await.json()["status"], "PENDING");
    world.log_in().await;
    assert_eq!(session().await.json()["status"], "READY");
}

#[tokio::test]
async fn what_cannot_be_created_is_refused_and_names_the_member() {
    let world = World::new().await;
    let with = |member: &str, value: Value| {
        let mut body = json!({"parameters": {"password": CANARY}});
        body[member] = value;
        (body, member.to_owned())
    };
    let long = "a".repeat(201);
    let mut cases = vec![(json!({}), "parameters".to_owned()), (json!({"parameters": CANARY}), "parameters".to_owned())];
    for id in ["ab", "", "a b c", "a/b", "äöü", "abc\n", "<script>", "__proto__.x", long.as_str()] {
        cases.push(with("id", json!(id)));
    }
    for id in [json!(null), json!(123)] {
        cases.push(with("id", id));
    }
    for proxy in ["", "not a url", "socks4://h:1", "file:///etc/passwd", "http://h:1/path", "intuned://auto", "intuned://other"] {
        cases.push(with("proxy", json!(proxy)));
    }
    for number in [json!(0), json!(-1), json!(101), json!(1.5), json!("3"), json!(1_000_000_000), json!(null)] {
        cases.push(with("createAttempts", number.clone()));
        cases.push(with("checkAttempts", number));
    }
    for number in [json!(0), json!(-5), json!("600"), json!(1.5)] {
        cases.push(with("requestTimeout", number));
    }
    cases.push(with("saveTrace", json!(1)));
    for (body, member) in cases {
        let answer = world.post_json(CREATE, &body).send().await;
        assert_eq!(answer.refusal(), (400, "bad-request".to_owned()), "{body}");
        assert_eq!(answer.json()["details"]["path"], member, "{body}");
    }
    assert_eq!(world.get("/projects/shop/auth-sessions").send().await.json(), json!([]), "a refusal left something behind");
}

#[tokio::test]
async fn a_project_without_logins_cannot_create_one() {
    let world = World::new().await;
    for (project, status) in [("plain", 400), ("broken", 400), ("nowhere", 404)] {
        let answer =
            world.post_json(&format!("/projects/{project}/auth-sessions/create"), &json!({"parameters": {}})).send().await;
        assert_eq!(answer.status, status, "{project}");
    }
}

#[tokio::test]
async fn a_runtime_session_is_not_replaced_by_a_stored_one() {
    let world = World::new().await;
    world
        .start_run("shop", &json!({"api": "orders", "parameters": {}, "authSession": {"id": "runtime-1", "runtimeInput": {}}}))
        .await;
    let answer = world.post_json(CREATE, &json!({"id": "runtime-1", "parameters": {}})).send().await;
    assert_eq!(answer.refusal(), (400, "bad-request".to_owned()));
}
