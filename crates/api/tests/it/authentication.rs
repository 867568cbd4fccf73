//! Who may ask. The routes are taken from the generated document, so a new one cannot be forgotten here.

use serde_json::Value;

use crate::contract::OWN;
use crate::world::{Ask, KEY, World};

/// Every operation below a workspace, with every segment filled in.
fn keyed_operations(workspace: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (path, item) in OWN.root["paths"].as_object().unwrap() {
        if !path.starts_with("/api/v1/workspace/") {
            continue;
        }
        for (name, method) in [("get", "GET"), ("put", "PUT"), ("post", "POST"), ("delete", "DELETE")] {
            if item.get(name).is_some() {
                let path = path.replace("{workspaceId}", workspace).replace("{projectName}", "shop").replace("{number}", "1");
                let path: Vec<&str> =
                    path.split('/').map(|part| if part.starts_with('{') { "_____________________" } else { part }).collect();
                found.push((method, path.join("/")));
            }
        }
    }
    // Two routes that the document does not tell from the session they are named like.
    let create = format!("/api/v1/workspace/{workspace}/projects/shop/auth-sessions/create");
    found.push(("GET", create.clone()));
    found.push(("DELETE", create));
    found
}

fn asked<'a>(world: &'a World, method: &'static str, path: &str) -> Ask<'a> {
    world.ask(method, path).header("content-type", "application/json").bytes("{}")
}

#[tokio::test]
async fn without_a_right_key_every_route_answers_alike() {
    let world = World::new().await;
    let operations = keyed_operations(world.workspace.as_str());
    assert!(operations.len() >= 25, "{operations:?}");
    let mut bodies: Vec<Value> = Vec::new();
    for (method, path) in &operations {
        for variant in 0..6 {
            let ask = asked(&world, method, path);
            let ask = match variant {
                0 => ask.without("x-api-key"),
                1 => ask.without("x-api-key").header("authorization", &format!("Bearer {KEY}")),
                2 => ask.without("x-api-key").header("cookie", &format!("x-api-key={KEY}")),
                3 => ask.header("x-api-key", ""),
                4 => ask.header("x-api-key", "kw_ä"),
                _ => ask.also("x-api-key", KEY),
            };
            let answer = ask.send().await;
            assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()), "{variant} {method} {path}");
            let mut body = answer.json();
            body["correlationId"] = Value::Null;
            bodies.push(body);
        }
        let in_query = asked(&world, method, &format!("{path}?x-api-key={KEY}")).without("x-api-key").send().await;
        assert_eq!(in_query.refusal(), (401, "unauthorized".to_owned()), "{method} {path}");
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn a_key_opens_its_own_workspace_only() {
    let world = World::new().await;
    let own = asked(&world, "GET", "/projects").without("x-api-key").send().await;
    for workspace in ["00000000-0000-4000-8000-000000000000", "not-a-uuid", "%00", "'--"] {
        // Each workspace in a world of its own, because wrong keys are counted.
        let world = World::new().await;
        for (method, path) in keyed_operations(workspace) {
            let answer = asked(&world, method, &path).send().await;
            if answer.status == 429 {
                continue;
            }
            assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()), "{method} {path}");
            assert_eq!(answer.message(), own.message());
        }
    }
    let upper = world.workspace.as_str().to_ascii_uppercase();
    assert_eq!(world.get(&format!("/api/v1/workspace/{upper}/projects")).send().await.status, 200);
}

#[tokio::test]
async fn a_flood_of_wrong_keys_is_told_to_slow_down_and_right_keys_go_on() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for number in 0..1_000 {
        let answer = world.get("/projects").header("x-api-key", &format!("kw_guess-{number}")).send().await;
        statuses.push(answer.status.as_u16());
        if answer.status == 429 {
            assert_eq!(answer.refusal(), (429, "too-many-requests".to_owned()));
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
    }
    assert_eq!(statuses[0], 401);
    assert!(statuses.iter().all(|status| [401, 429].contains(status)));
    assert!(statuses.iter().filter(|status| **status == 429).count() > 900);
    assert_eq!(world.get("/projects").send().await.status, 200);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_told_apart() {
    let world = World::new().await;
    for path in [
        "/",
        "/api",
        "/api/v1/workspace",
        "/projects/shop/nothing",
        "/projects/shop/jobs",
        "/projects/shop/auth-sessions/",
        "/projects/",
    ] {
        assert_eq!(world.get(path).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
    for (method, path, allow) in [
        ("PATCH", "/projects/shop/run/start", "POST"),
        ("POST", "/projects/shop/auth-sessions", "GET,HEAD"),
        ("PUT", "/projects/shop/auth-sessions/shop-admin", "GET,HEAD,DELETE"),
        ("POST", "/health", "GET,HEAD"),
    ] {
        let answer = world.ask(method, path).send().await;
        assert_eq!(answer.refusal(), (405, "method-not-allowed".to_owned()), "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}
