//! Secrets that a trace itself gives away: the cookie that a login just got is known to nobody else yet.
//!
//! Collected in a first pass over the trace, so that the second can blank them wherever they stand. Refuses nothing; the
//! caller gives up when there are more than can be looked for. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::EntryKind;
use super::addresses::query_values;
use super::network::is_secret_header;
use super::snapshot::{Field, fields};

/// Shorter cookies and header values are flags, languages and the like.
const MIN_COOKIE_CHARS: usize = 8;

/// Most secrets learned from one trace.
const MAX_LEARNED: usize = 5_000;

/// What was learned so far.
pub(super) struct Learned {
    is_login: bool,
    certain: BTreeSet<String>,
    likely: BTreeSet<String>,
}

impl Learned {
    pub(super) fn new(is_login: bool) -> Self {
        Self { is_login, certain: BTreeSet::new(), likely: BTreeSet::new() }
    }

    /// Whether there are too many to be looked for.
    pub(super) fn is_overfull(&self) -> bool {
        self.certain.len() + self.likely.len() > MAX_LEARNED
    }

    /// Cookies, credentials, what was typed: must not be in the result at all.
    pub(super) fn certain(&self) -> Vec<String> {
        self.certain.iter().cloned().collect()
    }

    /// Parts of addresses, bodies and forms: blanked where they stand, but they may be ordinary words, so that a
    /// remainder, say in the name of a member, is no reason to drop the trace.
    pub(super) fn likely(&self) -> Vec<String> {
        self.likely.iter().cloned().collect()
    }

    /// Takes what there is to learn from one line.
    pub(super) fn add(&mut self, kind: EntryKind, line: &Value) {
        if kind == EntryKind::Network {
            self.add_request(&line["snapshot"]);
            return;
        }
        match line["type"].as_str() {
            Some("context-options") => self.add_options(&line["options"]),
            Some("before") => self.add_call(line),
            Some("frame-snapshot") => {
                if let Some(url) = line["snapshot"]["frameUrl"].as_str() {
                    self.add_address(url);
                }
                fields(&line["snapshot"]["html"], &mut |field: &Field<'_>| {
                    if field.is_password {
                        self.add_certain(field.value, 1);
                    } else if self.is_login && field.is_typed {
                        self.likely.insert(field.value.to_owned());
                    }
                });
            }
            Some(_) | None => {}
        }
    }

    fn add_request(&mut self, exchange: &Value) {
        for side in ["request", "response"] {
            for cookie in items(&exchange[side]["cookies"]) {
                self.add_certain(text(&cookie["value"]), MIN_COOKIE_CHARS);
            }
            for header in items(&exchange[side]["headers"]) {
                self.add_header(text(&header["name"]), text(&header["value"]));
            }
        }
        let request = &exchange["request"];
        self.add_address(text(&request["url"]));
        self.add_address(text(&exchange["response"]["redirectURL"]));
        if self.is_login {
            for pair in items(&request["postData"]["params"]).iter().chain(items(&request["queryString"])) {
                self.likely.insert(text(&pair["value"]).to_owned());
            }
            if let Ok(body) = serde_json::from_str::<Value>(text(&request["postData"]["text"])) {
                self.likely.extend(keywright_domain::secret_strings(&body));
            }
        }
    }

    fn add_header(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "cookie" => value.split(';').for_each(|pair| self.add_pair(pair)),
            // Several of them come in one value, a line each; what follows the first semicolon are attributes.
            "set-cookie" => value.lines().for_each(|line| self.add_pair(line.split(';').next().unwrap_or_default())),
            _ if is_secret_header(&name) => {
                self.add_certain(value, MIN_COOKIE_CHARS);
                if let Some((_scheme, credentials)) = value.split_once(' ') {
                    self.add_certain(credentials.trim(), MIN_COOKIE_CHARS);
                }
            }
            _ => {}
        }
    }

    fn add_pair(&mut self, pair: &str) {
        if let Some((_name, value)) = pair.split_once('=') {
            self.add_certain(value.trim(), MIN_COOKIE_CHARS);
        }
    }

    fn add_options(&mut self, options: &Value) {
        let credentials = &options["httpCredentials"];
        for credential in std::iter::once(credentials).chain(items(credentials)).chain([&options["proxy"]]) {
            self.add_certain(text(&credential["password"]), 1);
        }
        for header in items(&options["extraHTTPHeaders"]) {
            self.add_header(text(&header["name"]), text(&header["value"]));
        }
    }

    /// What a call types. Its other arguments are taken out of a login's trace, and are the author's own in another's.
    fn add_call(&mut self, call: &Value) {
        if self.is_login {
            for member in ["value", "text"] {
                self.add_certain(text(&call["params"][member]), 1);
            }
        }
        for cookie in items(&call["params"]["cookies"]) {
            self.add_certain(text(&cookie["value"]), MIN_COOKIE_CHARS);
        }
        for header in items(&call["params"]["headers"]) {
            self.add_header(text(&header["name"]), text(&header["value"]));
        }
    }

    fn add_address(&mut self, address: &str) {
        if self.is_login {
            self.likely.extend(query_values(address).map(unescaped));
        }
    }

    /// The search leaves out what is too short for it.
    fn add_certain(&mut self, text: &str, min_chars: usize) {
        if text.chars().count() >= min_chars {
            self.certain.insert(text.to_owned());
        }
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A part of a query without its escapes, read as UTF-8 or else as Latin-1.
fn unescaped(part: &str) -> String {
    let part = part.as_bytes();
    let mut bytes = Vec::with_capacity(part.len());
    let mut at = 0;
    while let Some(byte) = part.get(at) {
        let escape = part.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match (byte, escape.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                at += 3;
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        at += 1;
    }
    String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_in_either_charset() {
        assert_eq!(unescaped("P%C3%A4ss+w%26"), "Päss w&");
        assert_eq!(unescaped("P%E4ss"), "Päss");
        assert_eq!(unescaped("100%"), "100%");
    }
}
