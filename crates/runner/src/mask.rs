//! Finds and blanks known secrets in text and bytes, in every form in which they are likely to be written down.
//!
//! A password reaches a log or a trace as itself, inside JSON, in a form body in the page's own charset, in an address, in
//! HTML, in the base64 of a basic-auth header. One pass of Aho-Corasick looks for all forms of all secrets at once.
//! Refuses: to look for texts shorter than [`MIN_SECRET_CHARS`], which would destroy the log and protect nothing, and to
//! vouch for anything when there are more secrets than it can hold ([`Masker::finds`] then always says yes). Masking is
//! the last layer, never the only one: what user code transforms in a way of its own is not found.
//!
//! Pure; nothing is lost if the process dies here.

mod forms;

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use keywright_domain::{MIN_SECRET_CHARS, secret_strings};
use serde_json::Value;

use self::forms::{forms, plain_forms};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Longer secrets are looked for in pieces, so that a cut-off copy is found too.
const PIECE_CHARS: usize = 64;

/// How much of one secret is looked for. A cookie cannot be longer than 4 KiB; a storage value can, and is a document then.
const MAX_SECRET_CHARS: usize = 16 * 1024;

/// Strings inside a secret that is a JSON document count as secrets from this length on: shorter ones are preferences and
/// labels, tokens are longer.
const MIN_INNER_CHARS: usize = 16;

/// Most bytes of patterns; the automaton takes a few dozen times as much memory at worst.
const MAX_PATTERN_BYTES: usize = 4 * 1024 * 1024;

/// All known secrets of one attempt, ready to be looked for.
pub struct Masker {
    automaton: Option<AhoCorasick>,
    is_saturated: bool,
}

impl std::fmt::Debug for Masker {
    /// The automaton prints its patterns, so it is left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker").field("is_saturated", &self.is_saturated).finish_non_exhaustive()
    }
}

impl Masker {
    /// Prepares the search for these secrets. Ones that are too short are left out.
    #[must_use]
    pub fn new(secrets: &[String]) -> Self {
        let mut pieces = Pieces::default();
        for secret in secrets {
            pieces.add_secret(secret);
        }
        // As they are first, and whole encodings last: should the room run out, it runs out for the rare ones.
        let as_they_are = pieces.tokens.iter().chain(&pieces.document).map(|piece| piece.as_bytes().to_vec());
        let in_documents = pieces.document.iter().flat_map(|piece| plain_forms(piece));
        let in_tokens = pieces.tokens.iter().flat_map(|piece| forms(piece));
        let mut patterns = BTreeSet::new();
        let (mut pattern_bytes, mut is_saturated) = (0, false);
        for form in as_they_are.chain(in_documents).chain(in_tokens) {
            if form.len() < MIN_SECRET_CHARS || patterns.contains(&form) {
                continue;
            }
            pattern_bytes += form.len();
            if pattern_bytes > MAX_PATTERN_BYTES {
                is_saturated = true;
                break;
            }
            patterns.insert(form);
        }
        if patterns.is_empty() {
            return Self { automaton: None, is_saturated };
        }
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .build(&patterns)
            .expect("a few mebibytes of patterns stay far below the automaton's limit of states");
        Self { automaton: Some(automaton), is_saturated }
    }

    /// The text with every known secret replaced by [`MASK`].
    #[must_use]
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut ranges = self.ranges(text.as_bytes());
        if ranges.is_empty() {
            return Cow::Borrowed(text);
        }
        // A pattern in a one-byte charset may end inside a character of this text; the whole character goes then.
        for (start, end) in &mut ranges {
            while !text.is_char_boundary(*start) {
                *start -= 1;
            }
            while !text.is_char_boundary(*end) {
                *end += 1;
            }
        }
        let mut masked = String::with_capacity(text.len());
        let mut kept_to = 0;
        for (start, end) in ranges {
            if let Some(kept) = text.get(kept_to..start) {
                masked.push_str(kept);
            }
            masked.push_str(MASK);
            kept_to = end.max(kept_to);
        }
        masked.push_str(&text[kept_to..]);
        Cow::Owned(masked)
    }

    /// The bytes with every known secret replaced by [`MASK`].
    #[must_use]
    pub fn mask_bytes<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let ranges = self.ranges(bytes);
        if ranges.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut kept_to = 0;
        for (start, end) in ranges {
            masked.extend_from_slice(&bytes[kept_to..start]);
            masked.extend_from_slice(MASK.as_bytes());
            kept_to = end;
        }
        masked.extend_from_slice(&bytes[kept_to..]);
        Cow::Owned(masked)
    }

    /// Masks every string of a JSON value, member names included.
    pub fn mask_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.mask(text) {
                    *text = masked;
                }
            }
            Value::Number(number) => {
                if self.finds(number.to_string().as_bytes()) {
                    *value = Value::String(MASK.to_owned());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(members) => {
                let needs_new_names = members.keys().any(|name| matches!(self.mask(name), Cow::Owned(_)));
                if needs_new_names {
                    *members =
                        std::mem::take(members).into_iter().map(|(name, inner)| (self.mask(&name).into_owned(), inner)).collect();
                }
                members.values_mut().for_each(|inner| self.mask_json(inner));
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Whether the bytes hold a known secret in any form. Says yes when it cannot tell.
    #[must_use]
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.is_saturated || self.automaton.as_ref().is_some_and(|automaton| automaton.is_match(bytes))
    }

    /// Where secrets are, in order and without overlap.
    fn ranges(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        let mut ranges: Vec<(usize, usize)> =
            automaton.find_overlapping_iter(bytes).map(|found| (found.start(), found.end())).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match merged.last_mut() {
                Some((_, last_end)) if start <= *last_end => *last_end = end.max(*last_end),
                Some(_) | None => merged.push((start, end)),
            }
        }
        merged
    }
}

/// What is looked for because of all secrets.
#[derive(Default)]
struct Pieces {
    /// Looked for in every form.
    tokens: BTreeSet<String>,
    /// Parts of long JSON documents, such as an application's state in a storage value: looked for in plain text and in
    /// JSON. What is secret about them are the tokens inside, which are looked for in every form.
    document: BTreeSet<String>,
}

impl Pieces {
    /// Adds a secret itself or its parts, its lines (a log is masked line by line), itself without the white space or
    /// quotes around it, and the tokens inside it when it is a JSON document.
    fn add_secret(&mut self, secret: &str) {
        if secret.trim_start().starts_with(['{', '['])
            && let Ok(document) = serde_json::from_str::<Value>(secret)
        {
            for inner in secret_strings(&document).iter().filter(|inner| inner.chars().count() >= MIN_INNER_CHARS) {
                cut(inner, &mut self.tokens);
            }
            if secret.chars().count() > 2 * PIECE_CHARS {
                cut(secret, &mut self.document);
                return;
            }
        }
        cut(secret, &mut self.tokens);
        cut(secret.trim().trim_matches(['"', '\'', '`']), &mut self.tokens);
        if secret.contains(['\n', '\r']) {
            secret.lines().for_each(|line| cut(line.trim(), &mut self.tokens));
        }
    }
}

/// Adds a text, in pieces when it is long. The last piece overlaps the one before it, so that none is short.
fn cut(text: &str, pieces: &mut BTreeSet<String>) {
    let chars: Vec<char> = text.chars().take(MAX_SECRET_CHARS).collect();
    if chars.len() < MIN_SECRET_CHARS {
        return;
    }
    if chars.len() <= 2 * PIECE_CHARS {
        pieces.insert(chars.iter().collect());
        return;
    }
    let last = chars.len() - PIECE_CHARS;
    for start in (0..last).step_by(PIECE_CHARS).chain([last]) {
        pieces.insert(chars[start..start + PIECE_CHARS].iter().collect());
    }
}
