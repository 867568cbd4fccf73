//! The texts that must not appear in what an attempt leaves behind: credentials, the proxy's password, cookies and tokens of
//! the browser's state.
//!
//! Pure. Credentials come first and are always all there; what is taken from a browser's state is bounded.

use keywright_domain::{ProxyUrl, Secret, secret_strings, state_strings};
use serde_json::Value;

/// The texts of one attempt.
pub(crate) fn masked_texts(credentials: &[&Value], proxy: Option<&ProxyUrl>, states: &[&Value]) -> Secret<Vec<String>> {
    let mut texts: Vec<String> = credentials.iter().flat_map(|value| secret_strings(value)).collect();
    if let Some((_, password)) = proxy.and_then(ProxyUrl::credentials)
        && !password.reveal().is_empty()
    {
        texts.push(password.into_inner());
    }
    for state in states {
        texts.extend(state_strings(state));
    }
    texts.sort_unstable();
    texts.dedup();
    Secret::new(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_the_proxys_password_and_the_states_tokens_are_masked() {
        let proxy = ProxyUrl::parse("http://ada:p%40ss@proxy.example.test:8080").unwrap();
        let state = json!({"cookies": [{"name": "sid", "value": "cookie-value-1"}, {"name": "lang", "value": "en-GB"}]});
        let texts = masked_texts(&[&json!({"password": "lovelace"})], Some(&proxy), &[&state]).into_inner();
        assert_eq!(texts, ["cookie-value-1", "lovelace", "p@ss"]);
    }
}
