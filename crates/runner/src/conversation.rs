//! What a runner may say during one attempt, and when: a pure machine between `start` and `done`.
//!
//! The runner's process holds user code, so nothing it says is taken for granted: a message about another attempt, a second
//! `done`, a result before user code began all end the attempt. Refuses more extended payloads than a job run may have.

use keywright_domain::{ExtendedPayload, parse_strict_json};

use crate::protocol::{Call, DoneCode, DoneError, FromRunner, LogLine, ProtocolError, Returned};

/// Most calls that one attempt may ask to be made; a job run may not have more either.
pub(crate) const MAX_PAYLOADS: usize = 100_000;

/// Most bytes of their parameters together.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

/// The conversation about one attempt.
#[derive(Debug)]
pub(crate) struct Conversation {
    attempt_id: String,
    phase: Phase,
}

/// How far it has come.
#[derive(Debug)]
enum Phase {
    /// The context is being made; nothing of the user's runs.
    Preparing,
    /// User code runs.
    Running { payloads: Vec<ExtendedPayload>, payload_bytes: usize },
    /// The outcome is known.
    Over,
}

/// What a message means.
#[derive(Debug)]
pub(crate) enum Heard {
    /// User code begins now.
    Running,
    /// A line for the log.
    Log(LogLine),
    /// The deadline starts anew.
    Extend,
    /// A question to the platform.
    Call(Call),
    /// More payloads, already kept.
    Payloads,
    /// The end.
    Outcome(Outcome),
}

/// How the runner says the attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// User code returned, and asked for these calls.
    Returned(Returned, Vec<ExtendedPayload>),
    /// It did not.
    Failed(DoneError),
    /// It asked for more calls than it may.
    TooManyPayloads,
}

impl Conversation {
    /// The conversation that begins with a `start`.
    pub(crate) fn new(attempt_id: String) -> Self {
        Self { attempt_id, phase: Phase::Preparing }
    }

    /// Which attempt it is about.
    pub(crate) fn attempt_id(&self) -> &str {
        &self.attempt_id
    }

    /// Takes one message.
    ///
    /// # Errors
    /// When it has no place here; the attempt is over then, and so is the slot.
    pub(crate) fn hear(&mut self, message: FromRunner) -> Result<Heard, ProtocolError> {
        let kind = message.kind();
        match message.attempt_id() {
            Some(id) if id != self.attempt_id => return Err(ProtocolError::Foreign(kind)),
            Some(_) | None => {}
        }
        match (&mut self.phase, message) {
            (Phase::Over, _) => Err(ProtocolError::OutOfOrder { kind, when: "after the attempt was done" }),
            (
                _,
                FromRunner::Hello(_) | FromRunner::Ready(_) | FromRunner::Failed(_) | FromRunner::Bound | FromRunner::Idle(_),
            ) => Err(ProtocolError::OutOfOrder { kind, when: "during an attempt" }),
            (_, FromRunner::Log(line)) => Ok(Heard::Log(line)),
            (phase @ Phase::Preparing, FromRunner::Running(_)) => {
                *phase = Phase::Running { payloads: Vec::new(), payload_bytes: 0 };
                Ok(Heard::Running)
            }
            (Phase::Running { .. }, FromRunner::Running(_)) => Err(ProtocolError::OutOfOrder { kind, when: "a second time" }),
            (phase @ Phase::Preparing, FromRunner::Done(done)) => match done.outcome {
                Err(error) if is_possible_before_user_code(error.code) => {
                    *phase = Phase::Over;
                    Ok(Heard::Outcome(Outcome::Failed(error)))
                }
                Ok(_) | Err(_) => Err(ProtocolError::OutOfOrder { kind, when: "before user code began" }),
            },
            (Phase::Preparing, FromRunner::Extend(_) | FromRunner::Payloads(_) | FromRunner::Call(_)) => {
                Err(ProtocolError::OutOfOrder { kind, when: "before user code began" })
            }
            (Phase::Running { .. }, FromRunner::Extend(_)) => Ok(Heard::Extend),
            (Phase::Running { .. }, FromRunner::Call(call)) => Ok(Heard::Call(call)),
            (Phase::Running { payloads, payload_bytes }, FromRunner::Payloads(more)) => {
                *payload_bytes += more.items.iter().map(|item| item.api.len() + item.parameters.get().len()).sum::<usize>();
                if payloads.len() + more.items.len() > MAX_PAYLOADS || *payload_bytes > MAX_PAYLOAD_BYTES {
                    self.phase = Phase::Over;
                    return Ok(Heard::Outcome(Outcome::TooManyPayloads));
                }
                for item in more.items {
                    let parameters = parse_strict_json(item.parameters.get().as_bytes())
                        .map_err(|error| ProtocolError::Malformed { kind, why: format!("a payload {error}") })?;
                    payloads.push(ExtendedPayload { api: item.api, parameters });
                }
                Ok(Heard::Payloads)
            }
            (Phase::Running { payloads, .. }, FromRunner::Done(done)) => {
                let payloads = std::mem::take(payloads);
                self.phase = Phase::Over;
                Ok(Heard::Outcome(match done.outcome {
                    Ok(returned) => Outcome::Returned(returned, payloads),
                    Err(error) => Outcome::Failed(error),
                }))
            }
        }
    }
}

/// What can go wrong before any of the user's code was loaded.
const fn is_possible_before_user_code(code: DoneCode) -> bool {
    match code {
        DoneCode::SlotFailed | DoneCode::NotFound | DoneCode::Aborted => true,
        DoneCode::UserError | DoneCode::InvalidOutput | DoneCode::ResultTooBig | DoneCode::CaptureFailed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages by a short name, so that a conversation reads as a sentence.
    fn message(name: &str) -> FromRunner {
        let json = match name {
            "running" | "extend" => format!(r#"{{"type":"{name}","attemptId":"r.1"}}"#),
            "foreign" => r#"{"type":"extend","attemptId":"r.2"}"#.to_owned(),
            "log" => r#"{"type":"log","attemptId":"r.1","timeMs":1,"level":"info","stream":"stdout","message":"m"}"#.to_owned(),
            "payloads" => r#"{"type":"payloads","attemptId":"r.1","items":[{"api":"a","parameters":{}}]}"#.to_owned(),
            "deep-payload" => format!(
                r#"{{"type":"payloads","attemptId":"r.1","items":[{{"api":"a","parameters":{}{}}}]}}"#,
                "[".repeat(5_000),
                "]".repeat(5_000)
            ),
            "call" => r#"{"type":"call","attemptId":"r.1","callId":1,"method":"kv.get","params":{}}"#.to_owned(),
            "done" => r#"{"type":"done","attemptId":"r.1","ok":true,"result":1}"#.to_owned(),
            "slot-failed" | "user-error" => format!(
                r#"{{"type":"done","attemptId":"r.1","ok":false,"error":{{"code":"{name}","message":"m","retryable":true}}}}"#
            ),
            "idle" => r#"{"type":"idle","attemptId":"r.1","reusable":true}"#.to_owned(),
            "bound" => r#"{"type":"bound"}"#.to_owned(),
            other => panic!("no message is called {other}"),
        };
        FromRunner::decode(json.as_bytes()).unwrap()
    }

    const NAMES: [&str; 11] =
        ["running", "extend", "foreign", "log", "payloads", "call", "done", "slot-failed", "user-error", "idle", "bound"];

    fn is_kept(words: &str) -> bool {
        let mut conversation = Conversation::new("r.1".to_owned());
        words.split(' ').all(|name| conversation.hear(message(name)).is_ok())
    }

    #[test]
    fn only_what_the_protocol_foresees_is_heard() {
        for words in ["running done", "log running log extend call payloads payloads done", "slot-failed", "running user-error"] {
            assert!(is_kept(words), "{words}");
        }
        for words in [
            "done",
            "user-error",
            "extend",
            "call",
            "payloads",
            "running running",
            "running done done",
            "running done log",
            "running foreign",
            "foreign",
            "running idle",
            "bound",
            "running deep-payload",
            "slot-failed running",
        ] {
            assert!(!is_kept(words), "{words}");
        }
    }

    #[test]
    fn payloads_come_with_the_outcome_and_are_capped() {
        let mut conversation = Conversation::new("r.1".to_owned());
        for name in ["running", "payloads", "payloads"] {
            conversation.hear(message(name)).unwrap();
        }
        assert!(matches!(conversation.hear(message("done")), Ok(Heard::Outcome(Outcome::Returned(_, all))) if all.len() == 2));

        let many = vec![r#"{"api":"a","parameters":{}}"#; 60_000].join(",");
        let many = format!(r#"{{"type":"payloads","attemptId":"r.1","items":[{many}]}}"#);
        let mut conversation = Conversation::new("r.1".to_owned());
        conversation.hear(message("running")).unwrap();
        assert!(matches!(conversation.hear(FromRunner::decode(many.as_bytes()).unwrap()), Ok(Heard::Payloads)));
        let over = conversation.hear(FromRunner::decode(many.as_bytes()).unwrap());
        assert!(matches!(over, Ok(Heard::Outcome(Outcome::TooManyPayloads))));
    }

    proptest! {
        #[test]
        fn there_is_at_most_one_outcome_and_none_returned_before_running(
            picks in proptest::collection::vec(0..NAMES.len(), 0..12),
        ) {
            let mut conversation = Conversation::new("r.1".to_owned());
            let (mut outcomes, mut is_running) = (0, false);
            for pick in picks {
                match conversation.hear(message(NAMES[pick])) {
                    Ok(Heard::Running) => is_running = true,
                    Ok(Heard::Outcome(outcome)) => {
                        outcomes += 1;
                        prop_assert!(is_running || matches!(outcome, Outcome::Failed(_)));
                    }
                    Ok(Heard::Log(_) | Heard::Extend | Heard::Call(_) | Heard::Payloads) => prop_assert!(outcomes == 0),
                    Err(_) => {}
                }
            }
            prop_assert!(outcomes <= 1);
        }
    }
}
