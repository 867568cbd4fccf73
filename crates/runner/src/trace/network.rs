//! One request of a trace, without what authenticates it.
//!
//! In any trace cookies and credential headers go. In a login's only what is known to be harmless stays: which address,
//! which status, how long, and of the bodies style sheets and fonts. Refuses nothing. Pure.

use serde_json::{Map, Value, json};

use super::addresses::redact_address;
use super::is_style;
use crate::Masker;

/// Parts of the names of headers that authenticate.
const SECRET_HEADER_PARTS: [&str; 11] =
    ["cookie", "auth", "token", "api-key", "apikey", "secret", "session", "csrf", "xsrf", "password", "credential"];

/// Names that contain such a part and say nothing secret.
const PLAIN_HEADERS: [&str; 3] = ["www-authenticate", "proxy-authenticate", "sec-session-registration"];

/// Headers of a login that are kept; a site may put a token into any other.
const LOGIN_HEADERS: [&str; 22] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expires",
    "host",
    "keep-alive",
    "last-modified",
    "location",
    "origin",
    "pragma",
    "referer",
    "server",
    "transfer-encoding",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
];

/// Members of a request, of a response and of their exchange that are kept of a login.
const LOGIN_REQUEST: [&str; 6] = ["method", "url", "httpVersion", "headers", "headersSize", "bodySize"];
const LOGIN_RESPONSE: [&str; 10] = [
    "status",
    "statusText",
    "httpVersion",
    "headers",
    "content",
    "headersSize",
    "bodySize",
    "redirectURL",
    "_transferSize",
    "_failureText",
];
const LOGIN_EXCHANGE: [&str; 12] = [
    "pageref",
    "startedDateTime",
    "time",
    "request",
    "response",
    "cache",
    "timings",
    "_frameref",
    "_monotonicTime",
    "_resourceType",
    "serverIPAddress",
    "_serverPort",
];

/// Whether a header, by its name in small letters, carries what authenticates.
pub(super) fn is_secret_header(name: &str) -> bool {
    // `:authority` and the CORS headers are about something else.
    !name.starts_with(':')
        && !name.starts_with("access-control-")
        && !PLAIN_HEADERS.contains(&name)
        && SECRET_HEADER_PARTS.iter().any(|part| name.contains(part))
}

/// Takes the credential headers out of a list of `{name, value}`.
pub(super) fn strip_headers(headers: &mut Value) {
    if let Some(headers) = headers.as_array_mut() {
        headers.retain(|header| header["name"].as_str().is_some_and(|name| !is_secret_header(&name.to_ascii_lowercase())));
    }
}

/// Cleans a line; whether it is kept.
pub(super) fn clean(line: &mut Value, masker: &Masker, is_login: bool) -> bool {
    let Some(exchange) = line.get_mut("snapshot").and_then(Value::as_object_mut) else { return false };
    for side in ["request", "response"] {
        let Some(side) = exchange.get_mut(side).and_then(Value::as_object_mut) else { return false };
        side.insert("cookies".to_owned(), json!([]));
        if let Some(headers) = side.get_mut("headers") {
            strip_headers(headers);
        }
    }
    if is_login {
        strip_login(exchange);
    }
    mask_values(line, masker);
    true
}

fn strip_login(exchange: &mut Map<String, Value>) {
    keep(exchange, &LOGIN_EXCHANGE);
    let is_page = !matches!(exchange.get("_resourceType").and_then(Value::as_str), Some("stylesheet" | "font"));
    if let Some(Value::Object(request)) = exchange.get_mut("request") {
        keep(request, &LOGIN_REQUEST);
        if is_page {
            redact(request, "url");
        }
        keep_login_headers(request);
        // The viewer and HAR readers expect the members; what was in them is gone.
        request.insert("cookies".to_owned(), json!([]));
        request.insert("queryString".to_owned(), json!([]));
    }
    if let Some(Value::Object(response)) = exchange.get_mut("response") {
        keep(response, &LOGIN_RESPONSE);
        redact(response, "redirectURL");
        keep_login_headers(response);
        response.insert("cookies".to_owned(), json!([]));
        if let Some(Value::Object(content)) = response.get_mut("content") {
            content.retain(|name, value| match name.as_str() {
                "size" | "mimeType" => true,
                "_file" | "_sha1" => value.as_str().is_some_and(|file| is_style(file.trim_start_matches("resources/"))),
                _ => false,
            });
        }
    }
}

fn keep(object: &mut Map<String, Value>, names: &[&str]) {
    object.retain(|name, _| names.contains(&name.as_str()));
}

fn redact(object: &mut Map<String, Value>, name: &str) {
    if let Some(Value::String(address)) = object.get_mut(name) {
        *address = redact_address(address);
    }
}

fn keep_login_headers(side: &mut Map<String, Value>) {
    let Some(Value::Array(headers)) = side.get_mut("headers") else { return };
    headers.retain_mut(|header| {
        let Some(name) = header["name"].as_str().map(str::to_ascii_lowercase) else { return false };
        if matches!(name.as_str(), "location" | "referer")
            && let Some(Value::String(address)) = header.get_mut("value")
        {
            *address = redact_address(address);
        }
        LOGIN_HEADERS.contains(&name.as_str()) || name.starts_with("sec-ch-") || name.starts_with("sec-fetch-")
    });
}

/// Masks every text but the names that tie the parts of a trace together, which are Playwright's own.
pub(super) fn mask_values(value: &mut Value, masker: &Masker) {
    const TIES: [&str; 14] = [
        "type",
        "callId",
        "parentId",
        "stepId",
        "pageId",
        "frameId",
        "pageref",
        "_frameref",
        "class",
        "sha1",
        "_sha1",
        "file",
        "_file",
        "phase",
    ];
    match value {
        Value::Object(members) => {
            for (name, inner) in members.iter_mut() {
                if !(inner.is_string() && TIES.contains(&name.as_str())) {
                    mask_values(inner, masker);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_values(item, masker)),
        Value::String(_) => masker.mask_json(value),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
