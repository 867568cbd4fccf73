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
        cut(&self.masker.mask(text)).to_owned()
    }

    /// All lines.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.lines.into()
    }

    fn push(&mut self, time_ms: i64, level: Level, stream: Stream, message: &str) {
        if self.is_full {
            return;
        }
        let before = self.lines.len();
        self.append(time_ms, level, stream, cut(&self.masker.mask(message)).trim_end_matches(['\n', '\r']));
        if self.lines.len() > MAX_LOG_BYTES - FULL_LINE_BYTES {
            self.lines.truncate(before);
            self.is_full = true;
            let message = format!("the log has reached {MAX_LOG_BYTES} bytes; what follows was not kept");
            self.append(time_ms, Level::Warn, Stream::Keywright, &message);
        }
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
