//! Which texts in a run's inputs are secrets to be kept out of its logs, errors and traces.

use serde_json::Value;

/// Shorter texts are not masked: replacing every "en" or "1" would destroy a log and protect nothing.
pub const MIN_SECRET_CHARS: usize = 6;

/// Every string of at least [`MIN_SECRET_CHARS`] characters anywhere in `value`, and every long number in its text form.
#[must_use]
pub fn secret_strings(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.chars().count() >= MIN_SECRET_CHARS && !is_plain_address(text) => found.push(text.clone()),
        Value::Number(number) => {
            let text = number.to_string();
            if text.len() >= MIN_SECRET_CHARS {
                found.push(text);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        Value::String(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// The address of a site is no secret, and masking it would make every log and trace of a login unreadable. One that
/// carries credentials is.
fn is_plain_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none() && url.query().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_strings_and_numbers_are_found_at_any_depth() {
        let value = json!({"user": "ada", "password": "lovelace-1815", "site": "http://shop.example.test:80/",
            "deep": [{"pin": 123456, "on": true}]});
        assert_eq!(secret_strings(&value), ["123456", "lovelace-1815"]);
    }
}
