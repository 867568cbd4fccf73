//! The ways in which one text is written down: escapes, charsets and encodings.
//!
//! Refuses nothing; a form that equals another one is dropped by the caller. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Every form of a text, as the bytes that would be found. Contains duplicates.
pub(super) fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for reading in readings(text) {
        for form in escaped(&reading) {
            // Whatever form it is in may itself have been put into JSON: a trace holds bodies as JSON strings.
            found.push(json(&form, &|_| false).into_bytes());
            found.push(form.into_bytes());
        }
        found.extend(addresses(reading.as_bytes()));
        found.extend(binary(reading.as_bytes()));
    }
    for in_json in [json(text, &|_| false), json(text, &|c| !c.is_ascii())] {
        if in_json != text {
            found.extend(addresses(in_json.as_bytes()));
            found.extend(binary(in_json.as_bytes()));
        }
    }
    if !text.is_ascii() {
        if let Some(bytes) = windows_1252(text, &|_| None) {
            found.extend(binary(&bytes));
            found.push(python_bytes(&bytes).into_bytes());
            found.push(bytes);
        }
        // What the charset lacks is sent by browsers as a numeric reference.
        let bytes = windows_1252(text, &|c| Some(format!("&#{};", u32::from(c)))).unwrap_or_default();
        found.extend(addresses(&bytes));
        found.push(bytes);
        found.push(python_bytes(text.as_bytes()).into_bytes());
    }
    found
}

/// The forms in plain text and in JSON only.
pub(super) fn plain_forms(text: &str) -> Vec<Vec<u8>> {
    let in_json = json(text, &|_| false);
    let twice = json(&in_json, &|_| false);
    [text.to_owned(), in_json, json(text, &|c| !c.is_ascii()), twice].into_iter().map(String::into_bytes).collect()
}

/// The text, and what becomes of it when a reader guesses the charset wrong: a one-byte charset taken for UTF-8, and UTF-8
/// taken for a one-byte charset.
fn readings(text: &str) -> Vec<String> {
    let mut readings = vec![text.to_owned()];
    if !text.is_ascii() {
        if let Some(bytes) = windows_1252(text, &|_| None) {
            readings.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        readings.push(text.bytes().map(char::from).collect());
        readings.push(text.bytes().map(from_windows_1252).collect());
    }
    readings
}

/// The text as it stands in JSON, in source code and in HTML.
fn escaped(text: &str) -> Vec<String> {
    let never = |_: char| false;
    let non_ascii = |c: char| !c.is_ascii();
    let unsafe_in_html = |c: char| "<>&'\u{2028}\u{2029}".contains(c);
    let mut found = vec![
        text.to_owned(),
        json(text, &never),
        json(text, &non_ascii),
        json(text, &unsafe_in_html),
        json(text, &|c| non_ascii(c) || unsafe_in_html(c)),
        json(text, &never).replace('/', "\\/"),
        json(text, &non_ascii).replace('/', "\\/"),
        json(&json(text, &never), &never),
        json(&json(text, &non_ascii), &never),
        // A literal in single quotes, and one whose quotes were turned round to fit into the other kind.
        text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"),
        text.chars()
            .map(|c| {
                if c == '\'' {
                    '"'
                } else if c == '"' {
                    '\''
                } else {
                    c
                }
            })
            .collect(),
    ];
    let upper: Vec<String> = found.iter().filter(|form| form.contains("\\u")).map(|form| upper_escapes(form)).collect();
    found.extend(upper);
    for apostrophe in ["'", "&#39;", "&#x27;", "&apos;"] {
        for quote in ["\"", "&quot;", "&#34;", "&#x22;"] {
            found.push(html(text, quote, apostrophe, &|_| None));
            for write in [decimal as fn(char) -> String, hex_lower, hex_upper] {
                found.push(html(text, quote, apostrophe, &move |c| (!c.is_ascii()).then(|| write(c))));
            }
        }
    }
    found.push(html(&json(text, &never), "&quot;", "'", &|_| None));
    found.push(html(&json(text, &never), "\"", "'", &|_| None));
    found.sort_unstable();
    found.dedup();
    found
}

/// A text inside a JSON string, with the escapes that JSON asks for and `\uXXXX` for what else `also` names.
fn json(text: &str, also: &dyn Fn(char) -> bool) -> String {
    let mut written = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\u{8}' => written.push_str("\\b"),
            '\u{c}' => written.push_str("\\f"),
            c if c < ' ' || also(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => written.push(c),
        }
    }
    written
}

/// The same with the digits of `\uXXXX` in capitals.
fn upper_escapes(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let digits_end = rest.len().min(at + 6);
        let Some(digits) = rest.get(at + 2..digits_end) else { break };
        written.push_str(&rest[..at + 2]);
        written.push_str(&digits.to_ascii_uppercase());
        rest = &rest[digits_end..];
    }
    written.push_str(rest);
    written
}

fn html(text: &str, quote: &str, apostrophe: &str, also: &dyn Fn(char) -> Option<String>) -> String {
    let mut written = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str(quote),
            '\'' => written.push_str(apostrophe),
            '\u{a0}' => written.push_str("&nbsp;"),
            c => match also(c) {
                Some(reference) => written.push_str(&reference),
                None => written.push(c),
            },
        }
    }
    written
}

fn decimal(c: char) -> String {
    format!("&#{};", u32::from(c))
}

fn hex_lower(c: char) -> String {
    format!("&#x{:x};", u32::from(c))
}

fn hex_upper(c: char) -> String {
    format!("&#x{:X};", u32::from(c))
}

/// The bytes percent-encoded by each of the rules in use: what is kept differs between form bodies, the parts of an
/// address and the functions of the languages.
fn addresses(bytes: &[u8]) -> Vec<Vec<u8>> {
    const KEPT: [&str; 9] = [
        "*-._",                              // form bodies
        "-_.!~*'()",                         // encodeURIComponent
        "-_.~",                              // RFC 3986 unreserved
        "-_.~/",                             // Python's quote
        "-_.!~*'();,/?:@&=+$#",              // encodeURI
        "-_.!~*();,/?:@&=+$%[]\\^`{|}",      // a browser's query
        "-_.!~*'();,/?:@&=+$%[]\\^|",        // a browser's path
        "-_.!~*'(),&+$%",                    // a browser's user name and password
        "-_.!~*'();,/?:@&=+$%[]\\^`{|}<>\"", // only what cannot stand in any address
    ];
    let mut found = Vec::new();
    for kept in KEPT {
        for space in ["+", "%20"] {
            for is_upper in [true, false] {
                let mut written = Vec::with_capacity(bytes.len() + 8);
                for &byte in bytes {
                    match byte {
                        b' ' => written.extend_from_slice(space.as_bytes()),
                        byte if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => written.push(byte),
                        byte if is_upper => written.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                        byte => written.extend_from_slice(format!("%{byte:02x}").as_bytes()),
                    }
                }
                found.push(written);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The bytes in base64 at each of the three offsets at which they can stand in a longer text, and in hexadecimal.
fn binary(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for offset in 0..3_usize {
        let mut padded = vec![0; offset];
        padded.extend_from_slice(bytes);
        // Only the digits that these bytes alone decide: six bits each, from the first whole one to the last.
        let (first, last) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let digits = &engine.encode(&padded).into_bytes()[first..last];
            found.push(digits.to_vec());
            found.extend(addresses(digits));
        }
    }
    for is_upper in [true, false] {
        let digits = bytes.iter().map(|byte| if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        found.push(digits.collect::<String>().into_bytes());
    }
    found
}

/// How Python prints bytes.
fn python_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte).to_string() } else { format!("\\x{byte:02x}") }).collect()
}

/// What the upper control block of Latin-1 means to browsers, which read Latin-1 as windows-1252; 0 where nothing.
const UPPER_BLOCK: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0, 0x2018,
    0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
];

/// The text in windows-1252; what it lacks as `lacking` says, or nothing at all when that has no answer.
fn windows_1252(text: &str, lacking: &dyn Fn(char) -> Option<String>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        let code = u32::from(c);
        let in_block = UPPER_BLOCK.iter().position(|entry| *entry != 0 && u32::from(*entry) == code);
        match (u8::try_from(code), in_block) {
            (Ok(byte), _) => bytes.push(byte),
            (Err(_), Some(at)) => bytes.push(0x80 + u8::try_from(at).expect("the block has 32 entries")),
            (Err(_), None) => bytes.extend(lacking(c)?.into_bytes()),
        }
    }
    Some(bytes)
}

fn from_windows_1252(byte: u8) -> char {
    let in_block = byte.checked_sub(0x80).and_then(|at| UPPER_BLOCK.get(usize::from(at))).filter(|code| **code != 0);
    in_block.and_then(|code| char::from_u32(u32::from(*code))).unwrap_or(char::from(byte))
}
