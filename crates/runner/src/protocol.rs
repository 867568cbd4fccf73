//! The words and frames of `runners/PROTOCOL.md`, Rust side. No sockets.
//!
//! What a runner says is user-controlled: its process holds the user's code. So every frame has a bound, JSON is taken
//! strictly, and the parts that are the user's own (results, states, values) stay raw text until they have been measured.
//! Refuses frames over 16 MiB, anything that is not an object with a known `type`, and fields of the wrong kind.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio_util::codec::LengthDelimitedCodec;

/// Largest frame either way.
pub(crate) const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The version a runner has to speak.
pub(crate) const VERSION: u32 = 1;

/// How much of a runner's own words is repeated in an error.
const MAX_QUOTED_CHARS: usize = 120;

/// How the wire was not kept. Completes "the runner broke the protocol: …".
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// A frame that announces more than [`MAX_FRAME_BYTES`].
    #[error("a frame is over {MAX_FRAME_BYTES} bytes")]
    FrameTooBig,
    /// Not JSON as the protocol means it, or not an object with a `type`.
    #[error("a frame is not a message: {0}")]
    NotAMessage(String),
    /// A `type` that no runner sends.
    #[error("unknown message type \"{0}\"")]
    UnknownType(String),
    /// A known type with fields that are missing or of the wrong kind.
    #[error("a {kind} message is malformed: {why}")]
    Malformed {
        /// The type.
        kind: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A message that has no place at this point.
    #[error("a {kind} message came {when}")]
    OutOfOrder {
        /// The type.
        kind: &'static str,
        /// At which point.
        when: &'static str,
    },
    /// A message about an attempt that is not the one this slot serves.
    #[error("a {0} message is about another attempt")]
    Foreign(&'static str),
}

/// The codec both sides use: 4 bytes of big-endian length, then the body.
pub(crate) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().length_field_length(4).big_endian().max_frame_length(MAX_FRAME_BYTES).new_codec()
}

/// What the worker says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum ToRunner<'a> {
    /// Launch the browser.
    Warm { browser: BrowserSpec<'a> },
    /// The slot now belongs to this deployment.
    Bind { root: &'a Path, env: &'a BTreeMap<String, String>, is_auth_enabled: bool },
    /// One attempt.
    Start(Box<Start<'a>>),
    /// The answer to a call.
    Reply {
        attempt_id: &'a str,
        call_id: u64,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ReplyError<'a>>,
    },
    /// Cancel the attempt.
    Abort { attempt_id: &'a str },
    /// Close the browser and exit.
    Shutdown,
}

/// Why a call failed.
#[derive(Serialize)]
pub(crate) struct ReplyError<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}

/// The browser to launch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BrowserSpec<'a> {
    pub(crate) executable_path: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) headless: bool,
    pub(crate) sandbox: bool,
    pub(crate) debugging_port: bool,
    pub(crate) ignore_https_errors: bool,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Everything about one attempt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Start<'a> {
    pub(crate) attempt_id: &'a str,
    pub(crate) function: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<&'a Value>,
    pub(crate) timeout_ms: u64,
    pub(crate) session: Option<&'a Value>,
    pub(crate) capture_session: bool,
    pub(crate) viewport: Size,
    pub(crate) timezone: Option<&'a str>,
    pub(crate) locale: Option<&'a str>,
    pub(crate) ignore_https_errors: bool,
    pub(crate) proxy: Option<ProxySpec>,
    pub(crate) trace: Option<TraceSpec<'a>>,
    pub(crate) context: RunContext<'a>,
    pub(crate) auth_parameters: Option<&'a Value>,
    pub(crate) max_result_bytes: usize,
}

/// The page's inner size.
#[derive(Serialize)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Where the browser's traffic goes.
#[derive(Serialize)]
pub(crate) struct ProxySpec {
    pub(crate) server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
}

/// What goes into the trace, and where it is written.
#[derive(Serialize)]
pub(crate) struct TraceSpec<'a> {
    pub(crate) path: &'a Path,
    pub(crate) screenshots: bool,
    pub(crate) snapshots: bool,
    pub(crate) sources: bool,
}

/// What user code may know of its run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunContext<'a> {
    pub(crate) run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_session_id: Option<&'a str>,
    pub(crate) attempt_number: u32,
    pub(crate) api_name: String,
    pub(crate) workspace_id: &'a str,
    pub(crate) project_name: &'a str,
}

impl ToRunner<'_> {
    /// The body of this message's frame.
    ///
    /// # Errors
    /// When it does not fit into one.
    pub(crate) fn encode(&self) -> Result<Bytes, ProtocolError> {
        let body = serde_json::to_vec(self).map_err(|error| ProtocolError::NotAMessage(error.to_string()))?;
        if body.len() > MAX_FRAME_BYTES { Err(ProtocolError::FrameTooBig) } else { Ok(body.into()) }
    }
}

/// What a runner says.
#[derive(Debug)]
pub(crate) enum FromRunner {
    Hello(Hello),
    Ready(Ready),
    Failed(Failed),
    Bound,
    Running(About),
    Log(LogLine),
    Extend(About),
    Payloads(Payloads),
    Call(Call),
    Done(Done),
    Idle(Idle),
}

/// Who connected.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) language: String,
    pub(crate) language_version: String,
    pub(crate) playwright_version: String,
}

/// The browser runs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ready {
    pub(crate) browser_version: String,
}

/// The browser would not start.
#[derive(Debug, Deserialize)]
pub(crate) struct Failed {
    pub(crate) message: String,
}

/// A message that says nothing but which attempt it is about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    pub(crate) attempt_id: String,
}

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Where a log line of a runner came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UserStream {
    Stdout,
    Stderr,
    Console,
    Page,
}

/// One line that user code or its page wrote.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogLine {
    pub(crate) attempt_id: String,
    pub(crate) time_ms: i64,
    pub(crate) level: Level,
    pub(crate) stream: UserStream,
    pub(crate) message: String,
}

/// Calls that user code asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payloads {
    pub(crate) attempt_id: String,
    pub(crate) items: Vec<PayloadItem>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(crate) struct PayloadItem {
    pub(crate) api: String,
    pub(crate) parameters: Box<RawValue>,
}

/// A question to the platform.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Call {
    pub(crate) attempt_id: String,
    pub(crate) call_id: u64,
    pub(crate) method: String,
    pub(crate) params: Box<RawValue>,
}

/// The outcome of an attempt.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) attempt_id: String,
    pub(crate) outcome: Result<Returned, DoneError>,
}

/// What user code returned.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) result: Box<RawValue>,
    pub(crate) session: Option<Box<RawValue>>,
}

/// Why there is no result, as the runner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DoneCode {
    UserError,
    NotFound,
    InvalidOutput,
    ResultTooBig,
    Aborted,
    SlotFailed,
    CaptureFailed,
}

/// The error in a `done`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DoneError {
    pub(crate) code: DoneCode,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) stack: Option<String>,
    pub(crate) retryable: bool,
}

/// The context is closed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Idle {
    pub(crate) attempt_id: String,
    pub(crate) reusable: bool,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// The form of `done` on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDone {
    attempt_id: String,
    ok: bool,
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    session: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<DoneError>,
}

/// Keeps `null` apart from "not there".
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

impl FromRunner {
    /// Reads the body of one frame.
    ///
    /// # Errors
    /// See [`ProtocolError`].
    pub(crate) fn decode(body: &[u8]) -> Result<Self, ProtocolError> {
        let Kind { kind } = serde_json::from_slice(body).map_err(|error| ProtocolError::NotAMessage(error.to_string()))?;
        match kind.as_ref() {
            "hello" => fields(body, "hello").map(Self::Hello),
            "ready" => fields(body, "ready").map(Self::Ready),
            "failed" => fields(body, "failed").map(Self::Failed),
            "bound" => Ok(Self::Bound),
            "running" => fields(body, "running").map(Self::Running),
            "log" => fields(body, "log").map(Self::Log),
            "extend" => fields(body, "extend").map(Self::Extend),
            "payloads" => fields(body, "payloads").map(Self::Payloads),
            "call" => fields(body, "call").map(Self::Call),
            "done" => done(body).map(Self::Done),
            "idle" => fields(body, "idle").map(Self::Idle),
            other => Err(ProtocolError::UnknownType(other.chars().filter(|c| !c.is_control()).take(MAX_QUOTED_CHARS).collect())),
        }
    }

    /// Its `type`.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ready(_) => "ready",
            Self::Failed(_) => "failed",
            Self::Bound => "bound",
            Self::Running(_) => "running",
            Self::Log(_) => "log",
            Self::Extend(_) => "extend",
            Self::Payloads(_) => "payloads",
            Self::Call(_) => "call",
            Self::Done(_) => "done",
            Self::Idle(_) => "idle",
        }
    }

    /// Which attempt it is about; nothing for those that are about the slot.
    pub(crate) fn attempt_id(&self) -> Option<&str> {
        match self {
            Self::Hello(_) | Self::Ready(_) | Self::Failed(_) | Self::Bound => None,
            Self::Running(about) | Self::Extend(about) => Some(&about.attempt_id),
            Self::Log(line) => Some(&line.attempt_id),
            Self::Payloads(payloads) => Some(&payloads.attempt_id),
            Self::Call(call) => Some(&call.attempt_id),
            Self::Done(done) => Some(&done.attempt_id),
            Self::Idle(idle) => Some(&idle.attempt_id),
        }
    }
}

fn fields<'b, T: Deserialize<'b>>(body: &'b [u8], kind: &'static str) -> Result<T, ProtocolError> {
    serde_json::from_slice(body)
        .map_err(|error| ProtocolError::Malformed { kind, why: error.to_string().chars().take(MAX_QUOTED_CHARS).collect() })
}

fn done(body: &[u8]) -> Result<Done, ProtocolError> {
    let wire: WireDone = fields(body, "done")?;
    let missing = |why: &str| ProtocolError::Malformed { kind: "done", why: why.to_owned() };
    let outcome = if wire.ok {
        Ok(Returned { result: wire.result.ok_or_else(|| missing("it has no result"))?, session: wire.session })
    } else {
        Err(wire.error.ok_or_else(|| missing("it has no error"))?)
    };
    Ok(Done { attempt_id: wire.attempt_id, outcome })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;
    use tokio_util::codec::Decoder as _;

    use super::*;

    #[test]
    fn a_null_result_is_a_result_and_a_missing_one_is_not() {
        let done = |text: &str| FromRunner::decode(text.as_bytes());
        assert!(matches!(done(r#"{"type":"done","attemptId":"a","ok":true,"result":null}"#),
            Ok(FromRunner::Done(Done { outcome: Ok(Returned { result, .. }), .. })) if result.get() == "null"));
        assert!(matches!(done(r#"{"type":"done","attemptId":"a","ok":true}"#), Err(ProtocolError::Malformed { .. })));
        assert!(matches!(done(r#"{"type":"done","attemptId":"a","ok":false}"#), Err(ProtocolError::Malformed { .. })));
    }

    #[test]
    fn what_is_not_a_message_is_refused() {
        for (body, is_not_a_message) in [
            (&b""[..], true),
            (b"null", true),
            (b"[]", true),
            (b"{}", true),
            (br#"{"type":1}"#, true),
            (b"{\"type\":\"log", true),
            (b"{\"type\":\"\xff\"}", true),
            (br#"{"type":"done","type":"idle"}"#, true),
            (br#"{"type":"nap"}"#, false),
            (br#"{"type":"log"}"#, false),
            (br#"{"type":"idle","attemptId":"a","reusable":"yes"}"#, false),
            (br#"{"type":"done","attemptId":"a","ok":true,"result":NaN}"#, true),
            (br#"{"type":"call","attemptId":"a","callId":-1,"method":"kv.get","params":{}}"#, false),
        ] {
            let refused = FromRunner::decode(body).unwrap_err();
            assert_eq!(matches!(refused, ProtocolError::NotAMessage(_)), is_not_a_message, "{refused}");
        }
    }

    #[test]
    fn user_controlled_values_may_be_bottomless_without_harm() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        let body = format!(r#"{{"type":"done","attemptId":"a","ok":true,"result":{deep}}}"#);
        assert!(FromRunner::decode(body.as_bytes()).is_ok());
    }

    #[test]
    fn absent_parameters_stay_absent() {
        let body = ToRunner::Abort { attempt_id: "r.1" }.encode().unwrap();
        assert_eq!(&body[..], br#"{"type":"abort","attemptId":"r.1"}"#);
        assert_eq!(&ToRunner::Shutdown.encode().unwrap()[..], br#"{"type":"shutdown"}"#);
        let root = Path::new("/d");
        let bind = ToRunner::Bind { root, env: &BTreeMap::new(), is_auth_enabled: true }.encode().unwrap();
        assert_eq!(&bind[..], br#"{"type":"bind","root":"/d","env":{},"isAuthEnabled":true}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = FromRunner::decode(&body);
        }

        #[test]
        fn no_message_with_wild_fields_makes_the_parser_panic(
            kind in "hello|ready|failed|running|log|extend|payloads|call|done|idle",
            rest in "[\\[\\]{}:,\"0-9a-zA-Z\\\\ .-]{0,80}",
        ) {
            let _ = FromRunner::decode(format!(r#"{{"type":"{kind}",{rest}}}"#).as_bytes());
        }

        #[test]
        fn no_bytes_make_the_codec_panic_or_hold_more_than_a_frame(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..16),
        ) {
            let (mut codec, mut buffer) = (codec(), BytesMut::new());
            for chunk in chunks {
                buffer.extend_from_slice(&chunk);
                while let Ok(Some(frame)) = codec.decode(&mut buffer) {
                    prop_assert!(frame.len() <= MAX_FRAME_BYTES);
                }
            }
        }
    }
}
