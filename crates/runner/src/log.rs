//! The log of one attempt: JSON lines, secrets masked, never more than [`MAX_LOG_BYTES`].
//!
//! Held in memory until the attempt ends; if the process dies here the log of the running attempt is lost, its outcome is not.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::mask::Masker;
use crate::protocol::{Level, LogLine, UserStream};

/// Most bytes of one attempt's log. What comes after is dropped, and the log says so.
pub(crate) const MAX_LOG_BYTES: usize = 10 * 1024 * 1024;

/// Longest message of one line, as long as the runners' own bound.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;

/// A text of the full length was cut, perhaps inside a secret, and half a secret is not recognised: so much of its end goes.
/// Longer than any form of a piece of a secret of usual length.
const UNSURE_BYTES: usize = 2 * 1024;

/// What stands before the message of a line, once.
const MESSAGE: &[u8] = b",\"message\":";

/// Room for the line that says the log is full.
const FULL_LINE_BYTES: usize = 256;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
    Console,
    Page,
    /// The process itself, past the runner: native crashes, tracebacks of the interpreter.
    Process,
    /// This program.
    Keywright,
}

impl From<UserStream> for Stream {
    fn from(stream: UserStream) -> Self {
        match stream {
            UserStream::Stdout => Self::Stdout,
            UserStream::Stderr => Self::Stderr,
            UserStream::Console => Self::Console,
            UserStream::Page => Self::Page,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: Level,
    stream: Stream,
    message: &'a str,
}

/// The log of the attempt that is under way.
#[derive(Debug)]
pub(crate) struct AttemptLog {
    masker: Masker,
    lines: Vec<u8>,
    is_full: bool,
}

impl AttemptLog {
    /// An empty log that will not hold these texts.
    pub(crate) fn new(masker: Masker) -> Self {
        Self { masker, lines: Vec::new(), is_full: false }
    }

    /// Adds what a runner sent.
    pub(crate) fn hear(&mut self, line: &LogLine) {
        self.push(line.time_ms, line.level, line.stream.into(), &line.message);
    }

    /// Adds a line that has no time of its own.
    pub(crate) fn note(&mut self, level: Level, stream: Stream, message: &str) {
        self.push(now_ms(), level, stream, message);
    }

    /// The text without secrets, cut to a line's length.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.cleaned(text)
    }

    /// All lines.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.lines.into()
    }

    /// All lines, also without texts that became known only at the end: what a login got is known when it is captured, and
    /// user code may have printed it before.
    pub(crate) fn into_bytes_without(self, texts: &[String]) -> Bytes {
        let masker = Masker::new(texts);
        let mut lines = Vec::with_capacity(self.lines.len());
        for line in self.lines.split_inclusive(|byte| *byte == b'\n') {
            // Only the message, which is the last member, was somebody else's; a secret may be a word like those before it.
            let at = line.windows(MESSAGE.len()).position(|window| window == MESSAGE).map_or(line.len(), |at| at + MESSAGE.len());
            let (head, message) = line.split_at(at);
            let message = message.strip_suffix(b"}\n").and_then(|message| serde_json::from_slice::<String>(message).ok());
            let message = message.expect("every line was written by this log");
            lines.extend_from_slice(head);
            serde_json::to_writer(&mut lines, masker.mask(&message).as_ref()).expect("a string has a JSON form");
            lines.extend_from_slice(b"}\n");
        }
        lines.into()
    }

    fn push(&mut self, time_ms: i64, level: Level, stream: Stream, message: &str) {
        if self.is_full {
            return;
        }
        let before = self.lines.len();
        let message = self.cleaned(message);
        self.append(time_ms, level, stream, message.trim_end_matches(['\n', '\r']));
        if self.lines.len() > MAX_LOG_BYTES - FULL_LINE_BYTES {
            self.lines.truncate(before);
            self.is_full = true;
            let message = format!("the log has reached {MAX_LOG_BYTES} bytes; what follows was not kept");
            self.append(time_ms, Level::Warn, Stream::Keywright, &message);
        }
    }

    /// Masked first, cut afterwards: a cut secret would not be found.
    fn cleaned(&self, text: &str) -> String {
        let masked = self.masker.mask(text);
        // Whoever cut it before fell short by less than a character, which is four bytes at most.
        let was_cut = text.len() + 4 > MAX_LINE_BYTES;
        let sure_bytes = if was_cut { masked.len().saturating_sub(UNSURE_BYTES) } else { masked.len() };
        cut(&masked[..masked.floor_char_boundary(sure_bytes)]).to_owned()
    }

    fn append(&mut self, time_ms: i64, level: Level, stream: Stream, message: &str) {
        let line = Line { timestamp: rfc3339(time_ms), level, stream, message };
        serde_json::to_writer(&mut self.lines, &line).expect("strings and enums have a JSON form, and memory can be written to");
        self.lines.push(b'\n');
    }
}

/// A time that no calendar knows is told as its beginning: a runner's clock is user-controlled.
fn rfc3339(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LINE_BYTES)]
}

/// When a line was heard. It is shown to people and decides nothing, so the machine's clock will do.
#[expect(clippy::disallowed_methods, reason = "the time of a line in a log, which nothing is decided by")]
fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(secrets: &[&str]) -> AttemptLog {
        AttemptLog::new(Masker::new(&secrets.iter().map(|secret| (*secret).to_owned()).collect::<Vec<_>>()))
    }

    #[test]
    fn a_line_is_one_json_object_without_secrets() {
        let mut log = log(&["lovelace-1815"]);
        log.push(1_700_000_000_123, Level::Info, Stream::Console, "typed lovelace-1815\nand \"more\"\n");
        let text = String::from_utf8(log.into_bytes().to_vec()).unwrap();
        assert_eq!(
            text,
            "{\"timestamp\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"stream\":\"console\",\
            \"message\":\"typed ***\\nand \\\"more\\\"\"}\n"
        );
    }

    #[test]
    fn a_secret_cut_at_the_end_of_a_long_line_is_not_kept_by_half() {
        for part in ["lovelace-18", "lovelace-1815", "l"] {
            let mut log = log(&["lovelace-1815"]);
            let long = format!("begins {}{part}", "x".repeat(MAX_LINE_BYTES - 7 - part.len()));
            log.note(Level::Info, Stream::Stdout, &long);
            assert!(!log.clean(&long).contains("lo"));
            let text = String::from_utf8(log.into_bytes().to_vec()).unwrap();
            assert!(text.contains("begins xxx") && !text.contains("xl") && !text.contains("lo"), "{part}");
        }
    }

    #[test]
    fn what_became_known_at_the_end_is_taken_out_of_messages_and_nothing_else() {
        let mut log = log(&[]);
        for message in ["got \"cookie-value-1\" and,\"message\":keywright", "nothing"] {
            log.push(0, Level::Info, Stream::Keywright, message);
        }
        let before = log.lines.clone();
        let bytes = log.into_bytes_without(&["cookie-value-1".to_owned(), "keywright".to_owned(), "1970-01-01T".to_owned()]);
        let expected = String::from_utf8(before).unwrap().replace("cookie-value-1", "***").replace(":keywright\"}", ":***\"}");
        assert_eq!(String::from_utf8(bytes.to_vec()).unwrap(), expected);
    }

    #[test]
    fn a_flood_is_cut_off_with_one_line_that_says_so() {
        let mut log = log(&[]);
        let long = "ä".repeat(MAX_LINE_BYTES);
        for _ in 0..1_000 {
            log.push(i64::MAX, Level::Error, Stream::Stdout, &long);
        }
        let bytes = log.into_bytes();
        assert!(bytes.len() <= MAX_LOG_BYTES && bytes.len() > MAX_LOG_BYTES - 2 * MAX_LINE_BYTES);
        let last = bytes.strip_suffix(b"\n").unwrap().rsplit(|byte| *byte == b'\n').next().unwrap();
        assert!(String::from_utf8_lossy(last).contains("was not kept"));
    }
}
