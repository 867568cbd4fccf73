//! The generated OpenAPI document: it is 3.1, and of the contract's operations it says what the contract says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::contract::{CONTRACT, OWN};
use crate::world::World;

/// Operations of the contract that are served: 1, 2 and 14 to 22.
const SERVED: [&str; 11] = [
    "runApiStart",
    "runApiResult",
    "getAuthSessions",
    "getAuthSession",
    "deleteAuthSession",
    "CreateOrUpdateAuthSessionStart",
    "createAuthSessionResult",
    "UpdateAuthSessionStart",
    "updateAuthSessionResult",
    "ValidateAuthSessionStart",
    "validateAuthSessionResult",
];

/// Operation id to method, path and statuses.
fn operations(root: &Value, prefix: &str) -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let mut found = BTreeMap::new();
    for (path, item) in root["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let statuses = operation["responses"].as_object().unwrap().keys().cloned().collect();
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let earlier = found.insert(id.clone(), (method.to_owned(), format!("{prefix}{path}"), statuses));
            assert!(earlier.is_none(), "{id} is there twice");
        }
    }
    found
}

#[tokio::test]
async fn it_is_served_to_everybody_and_is_3_1() {
    let world = World::new().await;
    let answer = world.get("/openapi.json").without("x-api-key").send().await;
    assert_eq!((answer.status.as_u16(), answer.json()["openapi"].clone()), (200, json!("3.1.0")));
    assert_eq!(answer.json(), OWN.root);
}

#[test]
fn the_contracts_operations_have_the_contracts_paths_and_statuses() {
    let (contract, own) = (operations(&CONTRACT.root, "/api/v1/workspace"), operations(&OWN.root, ""));
    for id in SERVED {
        assert_eq!(own.get(id), contract.get(id), "{id}");
    }
    for (id, (method, path, _)) in &own {
        if SERVED.contains(&id.as_str()) {
            continue;
        }
        assert!(!CONTRACT.knows(method, path), "{id} sits on a path of the contract");
        let operation = &OWN.root["paths"][path][method];
        assert!(operation["tags"][0].as_str().unwrap().starts_with("additive."), "{id}");
    }
}

#[test]
fn request_bodies_have_the_contracts_members_and_required_ones() {
    for name in ["RunStartRequest", "AuthSessionCreateRequest", "AuthSessionUpdateRequest", "AuthSessionValidateRequest"] {
        let members = |document: &Value| -> BTreeSet<String> {
            document["components"]["schemas"][name]["properties"].as_object().unwrap().keys().cloned().collect()
        };
        let required = |document: &Value| -> BTreeSet<String> {
            let required = document["components"]["schemas"][name]["required"].as_array().cloned().unwrap_or_default();
            required.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(members(&OWN.root), members(&CONTRACT.root), "{name}");
        assert_eq!(required(&OWN.root), required(&CONTRACT.root), "{name}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_keyed_route_says_so() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    references(&OWN.root, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        assert!(OWN.root.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    assert_eq!(OWN.root["security"], json!([{"api_key": []}]));
    for (path, item) in OWN.root["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let is_open = operation.get("security").is_some_and(|security| *security == json!([{}]));
            assert_eq!(is_open, !path.starts_with("/api/v1/workspace/"), "{method} {path}");
        }
    }
}

#[test]
fn the_page_for_people_names_every_route_and_every_error_code() {
    let page = include_str!("../../../../docs/API.md");
    for (_, (method, path, _)) in operations(&OWN.root, "") {
        let path = path.trim_start_matches("/api/v1/workspace/{workspaceId}");
        let is_named = |end: char| page.contains(&format!("{} `{path}{end}", method.to_ascii_uppercase()));
        assert!(is_named('`') || is_named('?'), "{method} {path}");
    }
    for schema in ["ErrorCode", "ExecutionCode", "ReasonType"] {
        for code in OWN.root["components"]["schemas"][schema]["enum"].as_array().unwrap() {
            assert!(page.contains(&format!("`{}`", code.as_str().unwrap())), "{schema} {code}");
        }
    }
}
