//! The texts that must not appear in what an attempt leaves behind: credentials, the proxy's password, cookies and tokens of
//! the browser's state.
//!
//! Pure. Credentials come first and are always all there. Of a browser's state, which can be megabytes, very long values and
//! everything beyond a bound are left out: what a log prints of a login is a token, not a database.

use keywright_domain::{ProxyUrl, Secret, secret_strings};
use serde_json::Value;

/// Shorter values of cookies and storage are flags and languages; masking them would destroy a log and protect nothing.
const MIN_STATE_CHARS: usize = 8;

/// Longer values are documents, not tokens; the strings inside them are looked at where they are JSON.
const MAX_STATE_CHARS: usize = 8 * 1024;

/// Most texts taken from one browser state.
const MAX_STATE_TEXTS: usize = 4_096;

/// The texts of one attempt.
pub(crate) fn masked_texts(credentials: &[&Value], proxy: Option<&ProxyUrl>, states: &[&Value]) -> Secret<Vec<String>> {
    let mut texts: Vec<String> = credentials.iter().flat_map(|value| secret_strings(value)).collect();
    if let Some((_, password)) = proxy.and_then(ProxyUrl::credentials)
        && !password.reveal().is_empty()
    {
        texts.push(password.into_inner());
    }
    for state in states {
        texts.extend(state_texts(state));
    }
    texts.sort_unstable();
    texts.dedup();
    Secret::new(texts)
}

/// The values of cookies and storage, in the form of `runners/PROTOCOL.md` §5.
fn state_texts(state: &Value) -> Vec<String> {
    let cookies = members(state, "cookies").filter_map(|cookie| cookie.get("value"));
    let stored = members(state, "origins").flat_map(|origin| {
        let flat = ["localStorage", "sessionStorage"].into_iter().flat_map(|area| members(origin, area));
        let records = members(origin, "indexedDB")
            .flat_map(|database| members(database, "stores"))
            .flat_map(|store| members(store, "records"));
        flat.chain(records).filter_map(|entry| entry.get("value"))
    });
    let mut found: Vec<String> = cookies.chain(stored).flat_map(texts_of).collect();
    found.retain(|text| (MIN_STATE_CHARS..=MAX_STATE_CHARS).contains(&text.chars().count()));
    found.truncate(MAX_STATE_TEXTS);
    found
}

fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A value's strings, and those inside a string that is JSON itself, which is how sites store their tokens.
fn texts_of(value: &Value) -> Vec<String> {
    let mut texts = secret_strings(value);
    if let Value::String(text) = value
        && let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
    {
        texts.extend(secret_strings(&inner));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_the_proxys_password_and_the_states_tokens_are_masked() {
        let proxy = ProxyUrl::parse("http://ada:p%40ss@proxy.example.test:8080").unwrap();
        let state = json!({
            "version": 1,
            "cookies": [{"name": "sid", "value": "cookie-value-1"}, {"name": "lang", "value": "en-GB"}],
            "origins": [{
                "origin": "https://shop.example.test",
                "localStorage": [{"name": "auth", "value": "{\"token\":\"inner-token-1\"}"}],
                "sessionStorage": [{"name": "tab", "value": "session-value-1"}],
                "indexedDB": [{"name": "db", "stores": [
                    {"name": "s", "records": [{"key": {"v": 1}, "value": {"v": "indexed-value-1"}}]},
                ]}],
            }],
        });
        let texts = masked_texts(&[&json!({"password": "lovelace"})], Some(&proxy), &[&state]).into_inner();
        for text in ["lovelace", "p@ss", "cookie-value-1", "inner-token-1", "session-value-1", "indexed-value-1"] {
            assert!(texts.iter().any(|found| found == text), "{text} is missing in {texts:?}");
        }
        assert!(!texts.iter().any(|found| found == "en-GB" || found == "https://shop.example.test"), "{texts:?}");
    }

    #[test]
    fn a_huge_state_gives_a_bounded_number_of_texts() {
        let cookies: Vec<_> = (0..MAX_STATE_TEXTS * 2).map(|n| json!({"value": format!("cookie-{n:08}")})).collect();
        assert_eq!(masked_texts(&[], None, &[&json!({"cookies": cookies})]).reveal().len(), MAX_STATE_TEXTS);
    }
}
