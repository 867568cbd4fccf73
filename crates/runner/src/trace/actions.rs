//! One event of a trace: a call and its end, a line of the call log, a snapshot, a message of the page's console.
//!
//! In any trace credentials, cookies and storage go. In a login's, calls keep what they were aimed at and lose what they
//! carried. Refuses nothing; an event of a kind that is not known is masked only. Pure.

use serde_json::{Map, Value};

use super::addresses::redact_addresses;
use super::network::{mask_values, strip_headers};
use super::snapshot;
use crate::{MASK, Masker};

/// Members, at any depth of a call or its result, that are credentials, cookies or storage.
const SECRET_MEMBERS: [&str; 9] = [
    "httpCredentials",
    "cookies",
    "origins",
    "storageState",
    "password",
    "passphrase",
    "clientCertificates",
    "localStorage",
    "sessionStorage",
];

/// Arguments of calls that are kept of a login: what was aimed at and how, never with what.
const LOGIN_ARGUMENTS: [&str; 28] = [
    "selector",
    "url",
    "waitUntil",
    "timeout",
    "strict",
    "state",
    "position",
    "button",
    "clickCount",
    "modifiers",
    "force",
    "noWaitAfter",
    "trial",
    "delay",
    "pageId",
    "name",
    "event",
    "phase",
    "waitId",
    "isFunction",
    "runBeforeUnload",
    "expectedNumber",
    "isNot",
    "omitReturnValue",
    "pierce",
    "steps",
    "x",
    "y",
];

/// Calls whose first argument, as the call log prints it, was typed.
const TYPING: [&str; 9] = [
    "fill",
    "type",
    "press",
    "insertText",
    "insert_text",
    "pressSequentially",
    "press_sequentially",
    "selectOption",
    "select_option",
];

/// Cleans an event; whether it is kept.
pub(super) fn clean(event: &mut Value, masker: &Masker, is_login: bool) -> bool {
    let Some(members) = event.as_object_mut() else { return false };
    let kind = members.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    // First of all, while what is looked for is still whole.
    for (name, member) in members.iter_mut() {
        if name != "type" {
            mask_values_of(name, member, masker);
        }
    }
    match kind.as_str() {
        "screencast-frame" if is_login => return false,
        "frame-snapshot" => clean_snapshot(members, is_login),
        "before" | "action" => clean_call(members, is_login),
        "after" => clean_end(members, is_login),
        _ => {}
    }
    strip_secrets(event);
    if is_login && kind != "frame-snapshot" {
        redact_strings(event);
    }
    true
}

fn mask_values_of(name: &str, member: &mut Value, masker: &Masker) {
    // By way of an object, so that the rule about names that are left alone is in one place.
    let mut pair = Value::Object(Map::from_iter([(name.to_owned(), std::mem::take(member))]));
    mask_values(&mut pair, masker);
    *member = pair[name].take();
}

fn clean_snapshot(members: &mut Map<String, Value>, is_login: bool) {
    let Some(Value::Object(inner)) = members.get_mut("snapshot") else { return };
    if let Some(html) = inner.get_mut("html") {
        snapshot::clean(html, is_login);
    }
    if is_login && let Some(Value::String(address)) = inner.get_mut("frameUrl") {
        *address = redact_addresses(address);
    }
}

fn clean_call(members: &mut Map<String, Value>, is_login: bool) {
    let method = members.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(Value::Object(arguments)) = members.get_mut("params") else { return };
    // The script that restores a session's storage has it written into its text.
    if method == "addInitScript" {
        arguments.insert("source".to_owned(), Value::String(MASK.to_owned()));
    }
    if is_login {
        for (name, argument) in arguments.iter_mut() {
            if !LOGIN_ARGUMENTS.contains(&name.as_str()) {
                *argument = blank(argument);
            }
        }
    }
}

fn clean_end(members: &mut Map<String, Value>, is_login: bool) {
    if !is_login {
        return;
    }
    if let Some(Value::Object(results)) = members.get_mut("result") {
        for result in results.values_mut() {
            // `<Page>` and its like name an object; anything else came from the page.
            let is_name = result.as_str().is_some_and(|text| text.starts_with('<') && text.ends_with('>') && text.len() < 40);
            if !is_name {
                *result = blank(result);
            }
        }
    }
}

/// Something of the same shape that says nothing: the viewer reads serialized values by their shape, in which even the names
/// of an object's members are values.
fn blank(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::String(MASK.to_owned()),
        Value::Number(_) => Value::from(0),
        Value::Array(items) => items.iter().map(blank).collect(),
        Value::Object(members) => Value::Object(members.iter().map(|(name, inner)| (name.clone(), blank(inner))).collect()),
        Value::Bool(_) | Value::Null => value.clone(),
    }
}

fn strip_secrets(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if SECRET_MEMBERS.contains(&name.as_str()) {
                    *member = blank(member);
                } else if matches!(name.as_str(), "headers" | "extraHTTPHeaders") {
                    strip_headers(member);
                } else {
                    strip_secrets(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip_secrets),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

fn redact_strings(value: &mut Value) {
    match value {
        Value::String(text) => *text = redact_addresses(&redact_values(&redact_typed(text))),
        Value::Array(items) => items.iter_mut().for_each(redact_strings),
        Value::Object(members) => members.values_mut().for_each(redact_strings),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Lines of the call log such as `fill("…")`, in the log itself and in the messages of errors.
fn redact_typed(text: &str) -> String {
    let redact_from = |at: usize| {
        let name = text[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        TYPING.contains(&name).then_some(at)
    };
    let Some(at) = text.match_indices("(\"").find_map(|(at, _)| redact_from(at)) else { return text.to_owned() };
    // What was typed may hold quotes and line ends, so everything up to the last closing goes.
    let after = text.rfind("\")").filter(|end| *end >= at + 2).map_or("", |end| &text[end + 2..]);
    format!("{}(\"{MASK}\"){after}", &text[..at])
}

/// The call log shows elements with their attributes, the value of a field among them.
fn redact_values(text: &str) -> String {
    const START: &str = " value=\"";
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let inside = at + START.len();
        redacted.push_str(&rest[..inside]);
        redacted.push_str(MASK);
        rest = rest[inside..].find('"').map_or("", |end| &rest[inside + end..]);
    }
    redacted.push_str(rest);
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_log_keeps_where_and_loses_what() {
        for (line, redacted) in [
            ("  fill(\"a \"quoted\" word\")", "  fill(\"***\")"),
            ("elementHandle.type(\"x\ny\")", "elementHandle.type(\"***\")"),
            ("Call log:\n  -   fill(\"otp\")\n  - waiting", "Call log:\n  -   fill(\"***\")\n  - waiting"),
            ("waiting for locator(\"[name=user]\")", "waiting for locator(\"[name=user]\")"),
            ("fill(\"cut of", "fill(\"***\")"),
        ] {
            assert_eq!(redact_typed(line), redacted);
        }
        assert_eq!(redact_values("<input name=\"x\" value=\"123\" id=\"y\"/>"), "<input name=\"x\" value=\"***\" id=\"y\"/>");
    }
}
