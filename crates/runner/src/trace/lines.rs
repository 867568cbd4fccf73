//! One line of a trace, read carefully: pages choose what is in it.
//!
//! Refuses lines that nest deeper than the stack of a worker thread allows. Pure.

use std::borrow::Cow;

use serde::Deserialize as _;
use serde_json::Value;

use super::TraceDropped;

/// Longest line. A snapshot of a large page has a few mebibytes.
pub(super) const MAX_LINE_BYTES: u64 = 32 * 1024 * 1024;

/// Deepest nesting; each level of a page's elements is one. Parsing takes well under a kibibyte of stack a level.
const MAX_DEPTH: usize = 1_000;

/// Parses a line.
pub(super) fn parse_line(line: &[u8]) -> Result<Value, TraceDropped> {
    if depth(line) > MAX_DEPTH {
        return Err(TraceDropped::TooLarge("a page in it is nested deeper than 1,000 elements"));
    }
    let line = mend_surrogates(line);
    let mut reader = serde_json::Deserializer::from_slice(&line);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).map_err(|error| TraceDropped::Malformed(error.to_string()))?;
    reader.end().map_err(|error| TraceDropped::Malformed(error.to_string()))?;
    if value.is_object() { Ok(value) } else { Err(TraceDropped::Malformed("a line is not an object".to_owned())) }
}

fn depth(line: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in line {
        match (in_string, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, false, b'"') => in_string = !in_string,
            (false, _, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, _, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// JavaScript writes half of a surrogate pair, which a page can hold, as an escape that is not valid JSON elsewhere.
fn mend_surrogates(line: &[u8]) -> Cow<'_, [u8]> {
    let unit = |at: usize| -> Option<u16> {
        let escape = line.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(offset) = line[at..].iter().position(|byte| *byte == b'\\') {
        at += offset;
        let next = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at + 12,
            Some(0xd800..=0xdfff) => {
                mended.get_or_insert_with(|| line.to_vec())[at..at + 6].copy_from_slice(b"\\ufffd");
                at + 6
            }
            Some(_) => at + 6,
            None => at + 2,
        };
        at = next.min(line.len());
    }
    mended.map_or(Cow::Borrowed(line), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_surrogate_pairs_are_replaced_and_pairs_kept() {
        let value = parse_line(br#"{"a":"\ud83d\ude00 \ud83d \\ud83d \ude00\ud83d"}"#).unwrap();
        assert_eq!(value["a"], "\u{1f600} \u{fffd} \\ud83d \u{fffd}\u{fffd}");
    }

    #[test]
    fn deep_pages_are_read_and_bottomless_ones_refused() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_line(nested(900).as_bytes()).is_ok());
        assert!(matches!(parse_line(nested(100_000).as_bytes()), Err(TraceDropped::TooLarge(_))));
        assert!(parse_line(b"{\"a\":\"[[[[\\\"[[\"}").is_ok());
        assert!(matches!(parse_line(b"{\"a\":"), Err(TraceDropped::Malformed(_))));
        assert!(matches!(parse_line(b"7"), Err(TraceDropped::Malformed(_))));
    }
}
