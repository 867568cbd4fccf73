//! A DOM snapshot in a trace: nested arrays, `[name, attributes, ...children]`, with what fields hold kept beside their
//! attributes.
//!
//! Password fields are emptied in every trace; in a login's all fields are, and addresses lose their queries. The number of
//! nodes never changes, because later snapshots refer to earlier ones by counting. Refuses nothing. Pure.

use serde_json::{Map, Value};

use super::addresses::{redact_address, redact_addresses};

/// Where Playwright keeps what a field holds at the moment.
const CURRENT_VALUE: &str = "__playwright_value_";

/// A field of a form.
pub(super) struct Field<'a> {
    /// Whether it hides what is typed.
    pub(super) is_password: bool,
    /// Whether somebody may have typed the value, rather than the page.
    pub(super) is_typed: bool,
    /// What it holds.
    pub(super) value: &'a str,
}

/// Visits what the fields in a snapshot hold.
pub(super) fn fields(node: &Value, visit: &mut impl FnMut(&Field<'_>)) {
    let Some(parts) = node.as_array() else { return };
    if let [Value::String(name), Value::Object(attributes), ..] = parts.as_slice()
        && is_field(name)
    {
        let is_password = is_password(attributes);
        for (attribute, is_typed) in [(CURRENT_VALUE, true), ("value", false)] {
            if let Some(value) = attributes.get(attribute).and_then(Value::as_str).filter(|value| !value.is_empty()) {
                visit(&Field { is_password, is_typed: is_typed && !is_button(attributes), value });
            }
        }
    }
    parts.iter().for_each(|part| fields(part, visit));
}

/// Empties fields and, in a login's snapshot, takes the luggage out of addresses.
pub(super) fn clean(node: &mut Value, is_login: bool) {
    let Some(parts) = node.as_array_mut() else { return };
    if let [Value::String(name), Value::Object(attributes), children @ ..] = parts.as_mut_slice() {
        let is_emptied = is_field(name) && (is_password(attributes) || (is_login && !is_button(attributes)));
        if is_emptied {
            for attribute in [CURRENT_VALUE, "value"] {
                if let Some(value) = attributes.get_mut(attribute) {
                    *value = Value::String(String::new());
                }
            }
            for child in children.iter_mut().filter(|child| child.is_string()) {
                *child = Value::String(String::new());
            }
        }
        // A style sheet, font or picture is found by its whole address.
        if is_login && !["LINK", "IMG", "SOURCE"].contains(&name.to_ascii_uppercase().as_str()) {
            for attribute in attributes.iter_mut().map(|(_, value)| value) {
                if let Value::String(text) = attribute {
                    *text = if text.contains("://") { redact_addresses(text) } else { redact_relative(text) };
                }
            }
        }
    }
    parts.iter_mut().for_each(|part| clean(part, is_login));
}

/// A relative address with a query; any other attribute stays as it is.
fn redact_relative(text: &str) -> String {
    let is_address = text.contains('?') && text.contains('=') && !text.contains(char::is_whitespace);
    if is_address { redact_address(text) } else { text.to_owned() }
}

fn is_field(name: &str) -> bool {
    name.eq_ignore_ascii_case("INPUT") || name.eq_ignore_ascii_case("TEXTAREA")
}

fn kind(attributes: &Map<String, Value>) -> String {
    attributes.get("type").and_then(Value::as_str).unwrap_or("text").to_ascii_lowercase()
}

/// A password field whose content is shown to the user is one by what the browser may fill in.
fn is_password(attributes: &Map<String, Value>) -> bool {
    let purpose = attributes.get("autocomplete").and_then(Value::as_str).unwrap_or_default();
    kind(attributes) == "password"
        || ["current-password", "new-password", "one-time-code"].iter().any(|name| purpose.contains(name))
}

fn is_button(attributes: &Map<String, Value>) -> bool {
    ["submit", "button", "reset", "image", "checkbox", "radio"].contains(&kind(attributes).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_emptied_and_nodes_keep_their_number() {
        let page = json!(["HTML", {}, ["BODY", {},
            ["INPUT", {"type": "password", "__playwright_value_": "hunter2"}],
            ["INPUT", {"name": "user", "__playwright_value_": "ada"}],
            ["INPUT", {"type": "submit", "value": "Sign in"}],
            ["TEXTAREA", {"__playwright_value_": "note"}, "note"],
            ["A", {"href": "/reset?token=abc"}, "Reset"], [[3, 7]]]]);
        let mut login = page.clone();
        clean(&mut login, true);
        assert_eq!(
            login,
            json!(["HTML", {}, ["BODY", {},
            ["INPUT", {"type": "password", "__playwright_value_": ""}],
            ["INPUT", {"name": "user", "__playwright_value_": ""}],
            ["INPUT", {"type": "submit", "value": "Sign in"}],
            ["TEXTAREA", {"__playwright_value_": ""}, ""],
            ["A", {"href": "/reset?token=***"}, "Reset"], [[3, 7]]]])
        );
        let mut work = page;
        clean(&mut work, false);
        assert_eq!(work[2][2][1]["__playwright_value_"], "");
        assert_eq!(work[2][3][1]["__playwright_value_"], "ada");
    }
}
