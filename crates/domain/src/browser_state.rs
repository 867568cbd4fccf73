//! Which texts in a browser's captured state are secrets: the values of cookies, of web storage and of IndexedDB records,
//! in the form of `runners/PROTOCOL.md` §5.
//!
//! Pure. Names of items and of members are no secrets and are left alone. A state can be megabytes: very long values and
//! everything beyond a bound are left out, because what a log prints of a login is a token, not a database.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::secret_strings;

/// Shorter values of cookies and storage are flags and languages; masking them would destroy a log and protect nothing.
const MIN_CHARS: usize = 8;

/// Longer values are documents, not tokens; the strings inside them are looked at where they are JSON.
const MAX_CHARS: usize = 8 * 1024;

/// Most texts taken from one state.
const MAX_TEXTS: usize = 4_096;

/// How often a value is unpacked: a cookie can hold percent-encoded JSON that holds JSON.
const MAX_UNPACKED: usize = 3;

/// The texts of a captured state that must not appear in what attempts with it leave behind. Cookies come first.
#[must_use]
pub fn state_strings(state: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for cookie in members(state, "cookies") {
        text(cookie.get("value"), &mut found);
    }
    for origin in members(state, "origins") {
        for item in ["localStorage", "sessionStorage"].into_iter().flat_map(|area| members(origin, area)) {
            match item.get("utf16") {
                Some(Value::Bool(true)) => utf16(item.get("value"), &mut found),
                Some(_) | None => text(item.get("value"), &mut found),
            }
        }
        let stores = members(origin, "indexedDB").flat_map(|database| members(database, "stores"));
        for record in stores.flat_map(|store| members(store, "records")) {
            ["value", "key"].into_iter().filter_map(|part| record.get(part)).for_each(|part| encoded(part, &mut found));
        }
    }
    let mut seen = HashSet::new();
    found.retain(|text| (MIN_CHARS..=MAX_CHARS).contains(&text.chars().count()) && seen.insert(text.clone()));
    found.truncate(MAX_TEXTS);
    found
}

fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A value of IndexedDB, `Enc`.
fn encoded(value: &Value, found: &mut Vec<String>) {
    match value.get("t").and_then(Value::as_str) {
        None => leaf(value.get("v").unwrap_or(&Value::Null), found),
        Some("graph") => members(value, "nodes").for_each(|object| node(object, found)),
        Some(_) => leaf(value, found),
    }
}

/// An object of a graph: what it holds, not how its members are called.
fn node(object: &Value, found: &mut Vec<String>) {
    let content = object.get("v").unwrap_or(&Value::Null);
    let is_sparse = object.get("sparse").is_some();
    match object.get("t").and_then(Value::as_str) {
        Some("map") => items(content).flat_map(items).for_each(|part| leaf(part, found)),
        Some("array") if !is_sparse => items(content).for_each(|part| leaf(part, found)),
        Some("object" | "array") => items(content).filter_map(|pair| pair.get(1)).for_each(|part| leaf(part, found)),
        Some("set") => items(content).for_each(|part| leaf(part, found)),
        Some("boxed") => leaf(content, found),
        // Bytes are a secret as the text that they may be.
        Some("arraybuffer" | "blob") => {
            let bytes = content.as_str().and_then(|digits| STANDARD.decode(digits).ok());
            if let Some(inner) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
                unpack(&inner, MAX_UNPACKED, found);
            }
        }
        Some(_) | None => {}
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value that is no object: plain, or tagged where JSON has no word for it.
fn leaf(value: &Value, found: &mut Vec<String>) {
    match value.get("t").and_then(Value::as_str) {
        Some("utf16") => utf16(value.get("v"), found),
        Some("bigint") => text(value.get("v"), found),
        Some(_) => {}
        None => text(Some(value), found),
    }
}

/// A text or a number, and what is packed into it.
fn text(value: Option<&Value>, found: &mut Vec<String>) {
    match value {
        Some(Value::String(text)) => unpack(text, MAX_UNPACKED, found),
        Some(number @ Value::Number(_)) => found.extend(secret_strings(number)),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {}
    }
}

/// A text, the strings inside it when it is JSON, which is how sites store their tokens, and the same without its
/// percent-encoding, which is how cookies carry them.
fn unpack(text: &str, left: usize, found: &mut Vec<String>) {
    found.extend(secret_strings(&Value::String(text.to_owned())));
    if left == 0 {
        return;
    }
    if let Ok(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) = serde_json::from_str(text) {
        secret_strings(&inner).iter().for_each(|inner| unpack(inner, left - 1, found));
    }
    if let Some(decoded) = percent_decoded(text) {
        unpack(&decoded, left - 1, found);
    }
}

/// The text without its percent-encoding, if it has any and what is in it is text.
fn percent_decoded(text: &str) -> Option<String> {
    let pair = url::form_urlencoded::parse(text.as_bytes()).next().filter(|_| text.contains('%') && !text.contains(['&', '=']));
    // The parser is one for forms: a plus is a blank to it, and what is not UTF-8 becomes a replacement character.
    pair.map(|(name, _)| name.into_owned())
        .filter(|decoded| decoded != text && !text.contains('+') && !decoded.contains('\u{fffd}'))
}

/// A text that is not well-formed Unicode, in base64 of UTF-16LE: its well-formed parts, which is all that a log can hold.
fn utf16(value: Option<&Value>, found: &mut Vec<String>) {
    let Some(bytes) = value.and_then(Value::as_str).and_then(|digits| STANDARD.decode(digits).ok()) else { return };
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut part = String::new();
    for decoded in char::decode_utf16(units).chain([Ok('\0')]) {
        match decoded {
            Ok(c) if c != '\0' => part.push(c),
            Ok(_) | Err(_) => unpack(&std::mem::take(&mut part), 1, found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn utf16_base64(units: &[u16]) -> String {
        STANDARD.encode(units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>())
    }

    #[test]
    fn every_kind_of_value_that_a_state_can_hold_is_found() {
        let lone: Vec<u16> = "utf16-item-1".encode_utf16().chain([0xd800]).chain("utf16-item-2".encode_utf16()).collect();
        let state = json!({
            "version": 1,
            "cookies": [{"name": "sid", "value": "cookie-value-1"}, {"name": "lang", "value": "en-GB"},
                {"name": "s", "value": "s%3Asigned-cookie"}, {"name": "j", "value": "%7B%22token%22%3A%22packed-token%22%7D"}],
            "origins": [{
                "origin": "https://shop.example.test",
                "localStorage": [{"name": "auth-token-name", "value": "{\"token\":\"inner-token-1\"}"},
                    {"name": utf16_base64(&lone), "value": utf16_base64(&lone), "utf16": true}],
                "sessionStorage": [{"name": "tab", "value": "session-value-1"}],
                "indexedDB": [{"name": "db", "stores": [{"name": "s", "records": [
                    {"key": {"v": "record-key-1"}, "value": {"v": "indexed-value-1"}},
                    {"value": {"t": "utf16", "v": utf16_base64(&lone[..13])}},
                    {"value": {"t": "graph", "nodes": [
                        {"t": "object", "v": [["member-name", "graph-value-1"], ["list-name", {"r": 1}], ["none", {"t": "undefined"}]]},
                        {"t": "array", "v": ["listed-value", {"t": "bigint", "v": "12345678901234567890"}]},
                        {"t": "array", "length": 9, "sparse": true, "v": [["8", "sparse-value"]]},
                        {"t": "map", "v": [["mapped-key-1", "mapped-value-1"]]},
                        {"t": "set", "v": ["set-value-1"]},
                        {"t": "boxed", "v": "boxed-value-1"},
                        {"t": "typedarray", "type": "Uint8Array", "buffer": {"r": 7}, "offset": 0, "length": 12},
                        {"t": "arraybuffer", "v": STANDARD.encode("buffer-value-1")},
                        {"t": "date", "v": 1_700_000_000_000_u64},
                    ]}},
                ]}]}],
            }],
        });
        let found = state_strings(&state);
        for text in [
            "cookie-value-1",
            "s:signed-cookie",
            "packed-token",
            "inner-token-1",
            "utf16-item-1",
            "utf16-item-2",
            "session-value-1",
            "record-key-1",
            "indexed-value-1",
            "graph-value-1",
            "listed-value",
            "12345678901234567890",
            "sparse-value",
            "mapped-key-1",
            "mapped-value-1",
            "set-value-1",
            "boxed-value-1",
            "buffer-value-1",
        ] {
            assert!(found.iter().any(|found| found == text), "{text} is missing in {found:?}");
        }
        // Ordinary words, which a log is full of.
        for text in
            ["en-GB", "https://shop.example.test", "member-name", "auth-token-name", "undefined", "typedarray", "Uint8Array"]
        {
            assert!(!found.iter().any(|found| found == text), "{text} is in {found:?}");
        }
    }

    #[test]
    fn a_huge_state_gives_a_bounded_number_of_texts() {
        let cookies: Vec<_> = (0..MAX_TEXTS * 2).map(|n| json!({"value": format!("cookie-{n:08}")})).collect();
        assert_eq!(state_strings(&json!({"cookies": cookies})).len(), MAX_TEXTS);
    }

    #[test]
    fn a_state_of_another_shape_has_no_texts() {
        for state in [json!(null), json!([1]), json!({"cookies": {"a": "b"}, "origins": [7, {"localStorage": "x"}]})] {
            assert_eq!(state_strings(&state), Vec::<String>::new());
        }
    }
}
