//! `POST …/run/start`.

use keywright_domain::{ProxyUrl, RunKind};
use serde_json::{Value, json};

use crate::world::{CANARY, World};

const PLAIN: &str = "/projects/plain/run/start";
const SHOP: &str = "/projects/shop/run/start";

#[tokio::test]
async fn a_run_is_accepted_with_its_defaults() {
    let world = World::new().await;
    let answer = world.post_json(PLAIN, &json!({"api": "orders/details", "parameters": {"page": 1}})).send().await;
    assert_eq!(answer.status, 201);
    let body = answer.json();
    assert_eq!(body, json!({"runId": body["runId"], "status": "pending"}));
    assert_eq!(body["runId"].as_str().unwrap().len(), 21);

    let record = world.take().await;
    assert_eq!(record.id.as_str(), body["runId"]);
    assert_eq!((record.plan.kind, record.plan.needs_session), (RunKind::Api, false));
    assert_eq!(record.plan.budgets.api.get(), 3);
    assert_eq!((record.timeout.get(), record.is_trace_wanted), (600, true));
    assert_eq!(record.parameters.unwrap().reveal(), &json!({"page": 1}));
    assert!(record.proxy.is_none());
}

#[tokio::test]
async fn what_was_asked_reaches_the_run() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let body = json!({
        "api": "orders", "parameters": {}, "proxy": "http://u:p@run.test:1", "saveTrace": false, "requestTimeout": 30.0,
        "retry": {"maximumAttempts": 5}, "unknown": {"member": []}, "sink": null,
        "authSession": {"id": "shop-admin", "autoRecreate": false, "checkAttempts": 1, "createAttempts": 2, "requestTimeout": 40,
                        "proxy": null, "saveTrace": true, "someday": 1},
    });
    world.start_run("shop", &body).await;
    let record = world.take().await;
    let budgets = record.plan.budgets;
    assert_eq!((budgets.api.get(), budgets.check.get(), budgets.create.get()), (5, 1, 2));
    assert_eq!((record.plan.may_recreate, record.plan.needs_session), (false, true));
    assert_eq!((record.timeout.get(), record.session_timeout.get()), (30, 40));
    assert_eq!((record.is_trace_wanted, record.is_session_trace_wanted), (false, true));
    assert_eq!(record.proxy, Some(ProxyUrl::parse("http://u:p@run.test:1").unwrap()));
    assert_eq!(record.session.unwrap().id.as_str(), "shop-admin");
}

#[tokio::test]
async fn runtime_input_makes_a_session_of_the_runs_own() {
    let world = World::new().await;
    // A client can send `autoRecreate: false` here; a login that is always made from the input has no use for it.
    let body =
        json!({"api": "orders", "parameters": {}, "authSession": {"runtimeInput": {"password": CANARY}, "autoRecreate": false}});
    world.start_run("shop", &body).await;
    let record = world.take().await;
    assert!(record.plan.may_recreate);
    assert_eq!(record.session_input.unwrap().reveal(), &json!({"password": CANARY}));
    assert!(record.session.unwrap().id.as_str().starts_with("auth-session-"));
}

#[tokio::test]
async fn a_named_runtime_session_is_kept_and_can_be_used_by_its_name() {
    let world = World::new().await;
    let named = json!({"api": "orders", "parameters": {}, "authSession": {"id": "runtime-1", "runtimeInput": {}}});
    world.start_run("shop", &named).await;
    let session = world.get("/projects/shop/auth-sessions/runtime-1").send().await.json();
    assert_eq!((&session["type"], &session["status"]), (&json!("RUNTIME"), &json!("PENDING")));
    let record = world.take().await;
    let record = world.attempt(record, crate::worker::captured(), None).await;
    let record = world.attempt(record, keywright_domain::AttemptEnd::CheckPassed, None).await;
    world.attempt(record, crate::worker::returned(json!(1)), None).await;
    // By its name alone nothing can be logged in again, because the input is not kept.
    world.start_run("shop", &json!({"api": "orders", "parameters": {}, "authSession": {"id": "runtime-1"}})).await;
    assert!(!world.take().await.plan.may_recreate);
}

#[tokio::test]
async fn runtime_input_under_the_name_of_a_stored_session_is_refused() {
    let world = World::new().await;
    world.ready_session("shop-admin").await;
    let body = json!({"api": "orders", "parameters": {}, "authSession": {"id": "shop-admin", "runtimeInput": {}}});
    let answer = world.post_json(SHOP, &body).send().await;
    assert_eq!(answer.refusal(), (400, "bad-request".to_owned()));
    assert_eq!(answer.json()["details"]["path"], "authSession.id");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_at_once_and_names_the_member() {
    let world = World::new().await;
    let sink = json!({"type": "webhook", "url": "https://hooks.example.test/x"});
    let with = |member: &str, value: Value| {
        let mut body = json!({"api": "orders", "parameters": {}});
        body[member] = value;
        body
    };
    for (path, body, member) in [
        (PLAIN, json!({"parameters": {}}), "api"),
        (PLAIN, json!({"api": "orders"}), "parameters"),
        (PLAIN, with("api", json!("unknown")), "api"),
        (PLAIN, with("api", json!("../orders")), "api"),
        (PLAIN, with("api", json!("orders/../orders")), "api"),
        (PLAIN, with("api", json!("")), "api"),
        (PLAIN, with("api", json!(null)), "api"),
        (PLAIN, with("parameters", json!([])), "parameters"),
        (PLAIN, with("parameters", json!(null)), "parameters"),
        (PLAIN, with("proxy", json!("")), "proxy"),
        (PLAIN, with("proxy", json!("socks4://h:1")), "proxy"),
        (PLAIN, with("proxy", json!("pac+http://h/x")), "proxy"),
        (PLAIN, with("proxy", json!("intuned://auto")), "proxy"),
        (PLAIN, with("proxy", json!(1)), "proxy"),
        (PLAIN, with("saveTrace", json!("yes")), "saveTrace"),
        (PLAIN, with("sink", sink), "sink"),
        (PLAIN, with("sink", json!({"type": "carrier-pigeon"})), "sink.type"),
        (PLAIN, with("sink", json!({"type": "webhook"})), "sink.url"),
        (PLAIN, with("sink", json!("https://hooks.example.test/x")), "sink"),
        (PLAIN, with("authSession", json!({"id": "shop-admin"})), "authSession"),
        (SHOP, with("authSession", json!(null)), "authSession"),
        (SHOP, json!({"api": "orders", "parameters": {}}), "authSession"),
        (SHOP, with("authSession", json!({})), "authSession.id"),
        (SHOP, with("authSession", json!({"id": null})), "authSession.id"),
        (SHOP, with("authSession", json!({"runtimeInput": "x"})), "authSession.runtimeInput"),
        (SHOP, with("authSession", json!({"id": "a b", "runtimeInput": {}})), "authSession.id"),
        (SHOP, with("authSession", json!({"runtimeInput": {}, "createAttempts": 0})), "authSession.createAttempts"),
        (SHOP, with("authSession", json!({"runtimeInput": {}, "requestTimeout": 21_601})), "authSession.requestTimeout"),
    ] {
        let answer = world.post_json(path, &body).send().await;
        assert_eq!(answer.refusal(), (400, "bad-request".to_owned()), "{body}");
        assert_eq!(answer.json()["details"]["path"], member, "{body}");
    }
}

#[tokio::test]
async fn numbers_out_of_range_are_refused() {
    let world = World::new().await;
    for number in
        [json!(0), json!(-1), json!(1.5), json!("3"), json!(1_000_000_000), json!(101), json!(null), json!(1e300), json!(true)]
    {
        let body = json!({"api": "orders", "parameters": {}, "retry": {"maximumAttempts": number}});
        assert_eq!(world.post_json(PLAIN, &body).send().await.refusal(), (400, "bad-request".to_owned()), "{body}");
    }
    for number in [json!(0), json!(-1), json!(0.5), json!("600"), json!(1_000_000_000), json!(21_601), json!(null)] {
        let body = json!({"api": "orders", "parameters": {}, "requestTimeout": number});
        assert_eq!(world.post_json(PLAIN, &body).send().await.refusal(), (400, "bad-request".to_owned()), "{body}");
    }
    for (attempts, timeout) in [(1, 1), (100, 21_600)] {
        world
            .start_run(
                "plain",
                &json!({"api": "orders", "parameters": {}, "retry": {"maximumAttempts": attempts}, "requestTimeout": timeout}),
            )
            .await;
    }
    world.start_run("plain", &json!({"api": "orders", "parameters": {}, "retry": {}})).await;
}

#[tokio::test]
async fn a_session_that_is_not_there_is_a_404() {
    let world = World::new().await;
    for id in ["nobody", "no", "a/b", "' OR 1=1 --", "äöü"] {
        let answer = world.post_json(SHOP, &json!({"api": "orders", "parameters": {}, "authSession": {"id": id}})).send().await;
        assert_eq!(answer.refusal(), (404, "not-found".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn a_project_that_cannot_run_says_why() {
    let world = World::new().await;
    let body = json!({"api": "orders", "parameters": {}});
    for (project, status, part) in
        [("broken", 400, "no deployment"), ("closed", 400, "access over the API"), ("nowhere", 404, "no such project")]
    {
        let answer = world.post_json(&format!("/projects/{project}/run/start"), &body).send().await;
        assert_eq!(answer.status, status, "{project}");
        assert!(answer.message().contains(part), "{answer:?}");
    }
}

#[tokio::test]
async fn the_operators_proxy_stands_for_auto() {
    let world = World::with_default_proxy(Some("http://operator.test:8080")).await;
    world.start_run("plain", &json!({"api": "orders", "parameters": {}, "proxy": "intuned://auto"})).await;
    assert_eq!(world.take().await.proxy, Some(ProxyUrl::parse("http://operator.test:8080").unwrap()));
}

#[tokio::test]
async fn a_project_whose_proxy_does_not_exist_is_not_run_without_one() {
    let world = World::new().await;
    world.deploy("proxied", &json!({"proxy": {"deployed": "intuned://auto"}})).await;
    let answer = world.post_json("/projects/proxied/run/start", &json!({"api": "orders", "parameters": {}})).send().await;
    assert_eq!(answer.refusal(), (400, "bad-request".to_owned()));
    world.start_run("proxied", &json!({"api": "orders", "parameters": {}, "proxy": "http://own.test:1"})).await;
}
