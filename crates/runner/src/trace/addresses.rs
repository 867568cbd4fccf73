//! Addresses in a login's trace: their queries carry passwords of GET forms, one-time codes and tokens.
//!
//! Keeps where the browser went and takes out what it took along: user names and passwords, the values of queries, and
//! fragments. Refuses nothing. Pure.

use crate::MASK;

/// A text with every absolute address in it redacted.
pub(super) fn redact_addresses(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let after = at + 3;
        let end =
            rest[after..].find(|c: char| c.is_whitespace() || "\"'`<>\\".contains(c)).map_or(rest.len(), |length| after + length);
        redacted.push_str(&rest[..after]);
        redacted.push_str(&redact_address(&rest[after..end]));
        rest = &rest[end..];
    }
    redacted.push_str(rest);
    redacted
}

/// One address, with or without its scheme, or a relative one.
pub(super) fn redact_address(address: &str) -> String {
    let (address, has_fragment) = match address.split_once('#') {
        Some((before, fragment)) => (before, !fragment.is_empty()),
        None => (address, false),
    };
    let (path, query) = match address.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (address, None),
    };
    let mut redacted = match path.split_once('@') {
        Some((user, host)) if !user.rsplit("://").next().unwrap_or(user).contains('/') => {
            let scheme = user.find("://").map_or("", |at| &user[..at + 3]);
            format!("{scheme}{MASK}@{host}")
        }
        Some(_) | None => path.to_owned(),
    };
    if let Some(query) = query {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, "")) => format!("{name}="),
            Some((name, _)) => format!("{name}={MASK}"),
            None if pair.is_empty() => String::new(),
            None => MASK.to_owned(),
        });
        redacted.push('?');
        redacted.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    if has_fragment {
        redacted.push('#');
        redacted.push_str(MASK);
    }
    redacted
}

/// The values in an address's query, as they are written there.
pub(super) fn query_values(address: &str) -> impl Iterator<Item = &str> {
    let query = address.split('#').next().and_then(|address| address.split_once('?')).map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_place_and_loses_its_luggage() {
        for (address, redacted) in [
            ("http://a.test/login?user=ada&password=x%20y&flag", "http://a.test/login?user=***&password=***&***"),
            ("https://ada:pw@a.test/x", "https://***@a.test/x"),
            ("https://a.test/@ada/x", "https://a.test/@ada/x"),
            ("/cb#access_token=abc", "/cb#***"),
            ("a.test/x", "a.test/x"),
            ("http://a.test/?", "http://a.test/?"),
        ] {
            assert_eq!(redact_address(address), redacted);
        }
        assert_eq!(
            redact_addresses("navigated to \"http://a.test/?q=1\", then http://b.test/#x."),
            "navigated to \"http://a.test/?q=***\", then http://b.test/#***"
        );
    }
}
