//! From how an attempt really ended to what is said about it: the table of attempt codes, as one pure function.
//!
//! Results are measured again here, whatever the runner said about them: its process holds the user's code.

use std::time::Duration;

use keywright_domain::{
    AttemptCode, AttemptEnd, AttemptFailure, ExtendedPayload, Secret, Stage, StrictJsonError, parse_strict_json,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::conversation::{MAX_PAYLOAD_BYTES, MAX_PAYLOADS, Outcome};
use crate::protocol::{DoneCode, DoneError, ProtocolError};
use crate::spawn::Exit;

/// Largest result, as UTF-8 JSON.
pub(crate) const MAX_RESULT_BYTES: usize = 2 * 1024 * 1024;

/// How an attempt ended, as its supervisor saw it.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The runner said so.
    Said(Outcome),
    /// Its time was over; this much it had.
    TimedOut(Duration),
    /// It was canceled from outside.
    Canceled,
    /// The process ended first. How is not always known: a runner can close its connection and live on.
    Exited(Option<Exit>),
    /// The runner broke the protocol.
    Broken(ProtocolError),
    /// Something of ours kept it from being started, or from being finished. Completes "the attempt could not be …".
    Lost(String),
}

/// The end of an attempt, secrets still in its message. `has_run` says whether user code may have started.
pub(crate) fn end_of(stage: Stage, has_run: bool, ending: Ending) -> AttemptEnd {
    let is_check = match stage {
        Stage::Check | Stage::PostCheck => true,
        Stage::Create | Stage::Api => false,
    };
    // What an author can get wrong has one code for a check, whatever it was.
    let authors = |code| if is_check { AttemptCode::AuthCheckFailed } else { code };
    match ending {
        Ending::Canceled => AttemptEnd::Aborted,
        Ending::Said(Outcome::Returned(returned, payloads)) => {
            returned_end(stage, &returned.result, returned.session.as_deref(), payloads)
        }
        Ending::Said(Outcome::TooManyPayloads) => failed(
            authors(AttemptCode::ScriptExecutionException),
            format!("more than {MAX_PAYLOADS} extended payloads, or more than {MAX_PAYLOAD_BYTES} bytes of them, in one attempt"),
            false,
        ),
        Ending::Said(Outcome::Failed(error)) => said_end(authors, has_run, error),
        Ending::TimedOut(limit) if has_run => failed(
            authors(AttemptCode::ScriptTimeout),
            format!("{} did not finish within {} s", if is_check { "the check" } else { "the script" }, limit.as_secs()),
            true,
        ),
        Ending::TimedOut(limit) => uncounted(format!("no browser context within {} s", limit.as_secs())),
        Ending::Exited(exit) if has_run => {
            let how = exit.map_or("closed its connection".to_owned(), |exit| exit.to_string());
            failed(AttemptCode::ScriptProcessCrashed, format!("the process that ran the script {how}"), true)
        }
        Ending::Exited(exit) => {
            uncounted(format!("the runner {}", exit.map_or("closed its connection".to_owned(), |exit| exit.to_string())))
        }
        Ending::Broken(error) if has_run => {
            failed(AttemptCode::ScriptNoValidOutput, format!("the runner broke the protocol: {error}"), true)
        }
        Ending::Broken(error) => uncounted(format!("the runner broke the protocol: {error}")),
        Ending::Lost(why) => {
            let failure = AttemptFailure {
                code: AttemptCode::InternalServerError,
                message: format!("the attempt could not be {why}"),
                is_retryable: true,
                is_counted: has_run,
            };
            AttemptEnd::Failed(failure)
        }
    }
}

/// User code returned: is it what this stage needs?
fn returned_end(stage: Stage, result: &RawValue, session: Option<&RawValue>, payloads: Vec<ExtendedPayload>) -> AttemptEnd {
    match stage {
        // Only a literal `true` passes; everything else is another answer, however long or deep.
        Stage::Check | Stage::PostCheck if result.get().trim() == "true" => AttemptEnd::CheckPassed,
        Stage::Check | Stage::PostCheck => {
            failed(AttemptCode::AuthCheckFailed, "the check returned something other than true".to_owned(), true)
        }
        // What `create` returns is nobody's; what counts is the state of the browser.
        Stage::Create => match session.map(|state| parse_strict_json(state.get().as_bytes())) {
            Some(Ok(state)) if state.is_object() => AttemptEnd::Captured { state: Secret::new(state) },
            Some(Ok(_)) | None => failed(AttemptCode::ScriptNoValidOutput, "the login left no browser state".to_owned(), true),
            Some(Err(error)) => failed(AttemptCode::ScriptNoValidOutput, format!("the browser's state {error}"), true),
        },
        Stage::Api => match parse_strict_json(result.get().as_bytes()) {
            Ok(result) if size_bytes(&result) > MAX_RESULT_BYTES => {
                failed(AttemptCode::ResultTooBig, format!("the result is over {MAX_RESULT_BYTES} bytes"), false)
            }
            Ok(result) => AttemptEnd::Returned { result, payloads },
            Err(error @ (StrictJsonError::Syntax(_) | StrictJsonError::Depth | StrictJsonError::Size)) => {
                failed(AttemptCode::ScriptNoValidOutput, format!("the result {error}"), true)
            }
        },
    }
}

/// The runner said that there is no result.
fn said_end(authors: impl Fn(AttemptCode) -> AttemptCode, has_run: bool, error: DoneError) -> AttemptEnd {
    let message = match &error.name {
        Some(name) if !name.is_empty() && !error.message.starts_with(name.as_str()) => format!("{name}: {}", error.message),
        Some(_) | None => error.message,
    };
    match error.code {
        DoneCode::UserError => failed(authors(AttemptCode::ScriptExecutionException), message, error.retryable),
        DoneCode::NotFound => {
            let end = AttemptFailure {
                code: authors(AttemptCode::ScriptExecutionException),
                message,
                is_retryable: false,
                is_counted: true,
            };
            AttemptEnd::Failed(end)
        }
        DoneCode::InvalidOutput => failed(authors(AttemptCode::ScriptNoValidOutput), message, true),
        DoneCode::ResultTooBig => {
            let code = authors(AttemptCode::ResultTooBig);
            failed(code, message, code == AttemptCode::AuthCheckFailed)
        }
        // Nobody asked for it: the supervisor names its own reason when it did.
        DoneCode::Aborted => failed(AttemptCode::ScriptNoValidOutput, format!("the runner gave up by itself: {message}"), true),
        DoneCode::SlotFailed if !has_run => uncounted(message),
        DoneCode::SlotFailed | DoneCode::CaptureFailed => failed(AttemptCode::InternalServerError, message, true),
    }
}

/// A failure after user code may have started.
fn failed(code: AttemptCode, message: String, is_retryable: bool) -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure { code, message, is_retryable, is_counted: true })
}

/// Our own failure, before any user code.
fn uncounted(message: String) -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure { code: AttemptCode::InternalServerError, message, is_retryable: true, is_counted: false })
}

/// The length of a value as UTF-8 JSON, without writing it anywhere.
fn size_bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("a value has a JSON form, and counting cannot fail");
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Returned;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn returned(result: &str) -> Ending {
        Ending::Said(Outcome::Returned(Returned { result: raw(result), session: None }, Vec::new()))
    }

    fn captured(session: &str) -> Ending {
        Ending::Said(Outcome::Returned(Returned { result: raw("null"), session: Some(raw(session)) }, Vec::new()))
    }

    fn said(code: DoneCode, retryable: bool) -> Ending {
        let error = DoneError { code, message: "why".to_owned(), name: Some("Error".to_owned()), stack: None, retryable };
        Ending::Said(Outcome::Failed(error))
    }

    /// `code counted retryable`, or the name of a good end.
    fn told(stage: Stage, has_run: bool, ending: Ending) -> String {
        match end_of(stage, has_run, ending) {
            AttemptEnd::Returned { .. } => "returned".to_owned(),
            AttemptEnd::Captured { .. } => "captured".to_owned(),
            AttemptEnd::CheckPassed => "passed".to_owned(),
            AttemptEnd::Aborted => "aborted".to_owned(),
            AttemptEnd::Failed(failure) => {
                let counted = if failure.is_counted { "counted" } else { "free" };
                let again = if failure.is_retryable { "again" } else { "final" };
                format!("{} {counted} {again}", failure.code.as_str())
            }
        }
    }

    #[test]
    fn every_end_has_the_code_of_the_table() {
        let limit = Duration::from_secs(600);
        let broken = || Ending::Broken(ProtocolError::FrameTooBig);
        let killed = || Ending::Exited(Some(Exit::Signal(9)));
        let too_big = format!("\"{}\"", "x".repeat(MAX_RESULT_BYTES));
        let biggest = format!("\"{}\"", "x".repeat(MAX_RESULT_BYTES - 2));
        let deep = "[".repeat(101) + &"]".repeat(101);
        let (api, create, check) = (Stage::Api, Stage::Create, Stage::Check);
        for (number, (stage, has_run, ending, expected)) in [
            (api, true, returned("{\"a\":[1]}"), "returned"),
            (api, true, returned("null"), "returned"),
            (api, true, returned(&biggest), "returned"),
            (api, true, returned(&too_big), "result-too-big-error counted final"),
            (api, true, returned(&deep), "script-no-valid-output-received counted again"),
            (api, true, returned("1e999"), "script-no-valid-output-received counted again"),
            (api, true, returned("{\"a\":1,\"a\":2}"), "script-no-valid-output-received counted again"),
            (api, true, said(DoneCode::UserError, true), "script-execution-exception counted again"),
            (api, true, said(DoneCode::UserError, false), "script-execution-exception counted final"),
            (api, true, said(DoneCode::NotFound, false), "script-execution-exception counted final"),
            (api, true, said(DoneCode::InvalidOutput, true), "script-no-valid-output-received counted again"),
            (api, true, said(DoneCode::ResultTooBig, false), "result-too-big-error counted final"),
            (api, true, said(DoneCode::Aborted, true), "script-no-valid-output-received counted again"),
            (api, false, said(DoneCode::SlotFailed, true), "internal-server-error free again"),
            (api, true, said(DoneCode::SlotFailed, true), "internal-server-error counted again"),
            (api, true, Ending::Said(Outcome::TooManyPayloads), "script-execution-exception counted final"),
            (api, true, Ending::TimedOut(limit), "script-timeout counted again"),
            (api, false, Ending::TimedOut(limit), "internal-server-error free again"),
            (api, true, killed(), "script-process-crashed counted again"),
            (api, true, Ending::Exited(None), "script-process-crashed counted again"),
            (api, false, killed(), "internal-server-error free again"),
            (api, true, broken(), "script-no-valid-output-received counted again"),
            (api, false, broken(), "internal-server-error free again"),
            (api, true, Ending::Canceled, "aborted"),
            (api, false, Ending::Canceled, "aborted"),
            (api, true, Ending::Lost("finished".to_owned()), "internal-server-error counted again"),
            (api, false, Ending::Lost("started".to_owned()), "internal-server-error free again"),
            (create, true, captured("{\"version\":1}"), "captured"),
            (create, true, captured("[]"), "script-no-valid-output-received counted again"),
            (create, true, captured(&deep), "script-no-valid-output-received counted again"),
            (create, true, returned("true"), "script-no-valid-output-received counted again"),
            (create, true, said(DoneCode::CaptureFailed, true), "internal-server-error counted again"),
            (create, true, said(DoneCode::UserError, true), "script-execution-exception counted again"),
            (create, true, Ending::TimedOut(limit), "script-timeout counted again"),
            (create, true, killed(), "script-process-crashed counted again"),
            (check, true, returned("true"), "passed"),
            (check, true, returned("false"), "auth-check-failed counted again"),
            (check, true, returned("\"true\""), "auth-check-failed counted again"),
            (check, true, returned("1"), "auth-check-failed counted again"),
            (check, true, returned("null"), "auth-check-failed counted again"),
            (check, true, said(DoneCode::UserError, true), "auth-check-failed counted again"),
            (check, true, said(DoneCode::UserError, false), "auth-check-failed counted final"),
            (check, true, said(DoneCode::InvalidOutput, true), "auth-check-failed counted again"),
            (check, true, said(DoneCode::ResultTooBig, false), "auth-check-failed counted again"),
            (check, true, Ending::TimedOut(limit), "auth-check-failed counted again"),
            (check, true, killed(), "script-process-crashed counted again"),
            (Stage::PostCheck, true, returned("true"), "passed"),
            (Stage::PostCheck, true, returned("{}"), "auth-check-failed counted again"),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(told(stage, has_run, ending), expected, "row {number}");
        }
    }

    #[test]
    fn the_killer_is_named() {
        let AttemptEnd::Failed(failure) = end_of(Stage::Api, true, Ending::Exited(Some(Exit::Signal(9)))) else { panic!() };
        assert!(failure.message.contains("SIGKILL") && failure.message.contains("out of memory"), "{}", failure.message);
    }
}
