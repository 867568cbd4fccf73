//! The supervisor's loop: one attempt, from `start` to its outcome.
//!
//! It looks at cancellation and the clock first, then at the process, then at what it says; nothing a runner does or leaves
//! undone can keep it from the next look. Once an attempt was given up, what the runner says changes nothing any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use keywright_domain::TimeoutSeconds;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{CLOSE_GRACE, START_TIMEOUT, Slot};
use crate::calls::{Refusal, answer};
use crate::conversation::{Conversation, Heard, Outcome};
use crate::ending::Ending;
use crate::host::AttemptHost;
use crate::link::Received;
use crate::log::{AttemptLog, Stream};
use crate::protocol::{Level, ReplyError, ToRunner};
use crate::spawn::Exit;

/// The longest an attempt may live, whatever it extends.
const MAX_ATTEMPT: Duration = Duration::from_secs(TimeoutSeconds::MAX.get() as u64);

/// From `abort` to TERM.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// Most calls of one attempt that are answered, or whose answers wait for the runner to read, at the same time; further ones
/// wait in the socket.
const MAX_OPEN_CALLS: usize = 32;

/// What the supervisor's loop keeps in mind.
pub(super) struct Watch {
    conversation: Conversation,
    /// Whether user code may have started.
    pub(super) has_run: bool,
    deadline: Instant,
    /// Time until the deadline, counted anew by every extension.
    limit: Duration,
    /// No extension reaches beyond this moment.
    hard_end: Option<Instant>,
    /// Why the attempt was given up; what the runner says from then on changes nothing.
    given_up: Option<Ending>,
}

impl Watch {
    /// Over an attempt that has so long once user code runs.
    pub(super) fn new(attempt_id: String, limit: Duration) -> Self {
        Self {
            conversation: Conversation::new(attempt_id),
            has_run: false,
            deadline: Instant::now() + START_TIMEOUT,
            limit,
            hard_end: None,
            given_up: None,
        }
    }

    fn begin_running(&mut self) {
        if self.given_up.is_none() {
            self.hard_end = Some(Instant::now() + MAX_ATTEMPT);
            self.extend();
        }
    }

    fn extend(&mut self) {
        if self.given_up.is_none() {
            let deadline = Instant::now() + self.limit;
            self.deadline = self.hard_end.map_or(deadline, |end| deadline.min(end));
        }
    }

    fn give_up(&mut self, why: Ending) {
        self.given_up = Some(why);
        self.deadline = Instant::now() + ABORT_GRACE;
    }
}

impl Slot {
    /// The supervisor's loop. Says how it ended, and whether the runner ended it in order.
    pub(super) async fn watch(
        &mut self,
        watch: &mut Watch,
        host: &Arc<dyn AttemptHost>,
        cancel: &CancellationToken,
        log: &mut AttemptLog,
    ) -> (Ending, bool) {
        let mut calls: FuturesUnordered<BoxFuture<'static, (u64, Result<Value, Refusal>)>> = FuturesUnordered::new();
        let mut replies: VecDeque<Bytes> = VecDeque::new();
        let outbox = self.link.outbox();
        let mut exit: Option<Exit> = None;
        let mut are_pipes_open = true;
        let attempt_id = watch.conversation.attempt_id().to_owned();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled(), if watch.given_up.is_none() => {
                    watch.give_up(Ending::Canceled);
                    self.abort(&attempt_id);
                }
                () = sleep_until(watch.deadline) => {
                    if let Some(ending) = watch.given_up.take() {
                        return (ending, false);
                    }
                    if exit.is_some() {
                        return (Ending::Exited(exit), false);
                    }
                    watch.give_up(Ending::TimedOut(if watch.has_run { watch.limit } else { START_TIMEOUT }));
                    self.abort(&attempt_id);
                }
                ended = self.process.wait(), if exit.is_none() => {
                    exit = Some(ended);
                    // What it had said is still in the socket; a process it left may keep the other end open.
                    watch.deadline = watch.deadline.min(Instant::now() + CLOSE_GRACE);
                }
                received = self.link.receive(), if calls.len() + replies.len() < MAX_OPEN_CALLS => {
                    let message = match received {
                        Ok(Received::Message(message)) => message,
                        Ok(Received::Closed) => {
                            let exit = match exit {
                                Some(exit) => Some(exit),
                                None => timeout(CLOSE_GRACE, self.process.wait()).await.ok(),
                            };
                            return (watch.given_up.take().unwrap_or(Ending::Exited(exit)), false);
                        }
                        Err(error) => return (watch.given_up.take().unwrap_or(Ending::Broken(error)), false),
                    };
                    match watch.conversation.hear(message) {
                        Ok(Heard::Running) => {
                            watch.has_run = true;
                            fail::fail_point!("runner::running");
                            watch.begin_running();
                        }
                        Ok(Heard::Log(line)) => log.hear(&line),
                        Ok(Heard::Extend) => watch.extend(),
                        Ok(Heard::Payloads) => {}
                        Ok(Heard::Call(call)) => {
                            let (host, folder, call_id) = (Arc::clone(host), Arc::clone(&self.folder), call.call_id);
                            calls.push(Box::pin(async move { (call_id, answer(call, host, folder).await) }));
                        }
                        Ok(Heard::Outcome(outcome)) => {
                            fail::fail_point!("runner::done-received");
                            let is_orderly = watch.given_up.is_none() && !matches!(outcome, Outcome::TooManyPayloads);
                            return (watch.given_up.take().unwrap_or(Ending::Said(outcome)), is_orderly);
                        }
                        Err(error) => return (watch.given_up.take().unwrap_or(Ending::Broken(error)), false),
                    }
                }
                Some((call_id, answer)) = calls.next() => replies.push_back(reply(&attempt_id, call_id, answer)),
                permit = outbox.reserve(), if !replies.is_empty() => match (permit, replies.pop_front()) {
                    (Ok(permit), Some(body)) => permit.send(body),
                    // The connection is closed for writing; reading will say so, too.
                    (Err(_), _) | (_, None) => replies.clear(),
                },
                line = self.pipes.next(), if are_pipes_open => match line {
                    Some(line) => log.note(Level::Error, Stream::Process, &line),
                    None => are_pipes_open = false,
                },
            }
        }
    }

    /// Asks the runner to give the attempt up. One that is gone or does not read is ended by the deadline that follows.
    fn abort(&self, attempt_id: &str) {
        if self.link.say(&ToRunner::Abort { attempt_id }).is_err() {
            tracing::debug!(attempt_id, "the runner does not hear that its attempt is over");
        }
    }
}

/// The answer to a call, as a frame.
fn reply(attempt_id: &str, call_id: u64, answer: Result<Value, Refusal>) -> Bytes {
    let refusal = |code: &str, message: &str| {
        let error = Some(ReplyError { code, message });
        let reply = ToRunner::Reply { attempt_id, call_id, ok: false, value: None, error };
        reply.encode().expect("a refusal is shorter than a frame")
    };
    match answer {
        Err(Refusal { code, message }) => refusal(code, &message),
        Ok(value) => ToRunner::Reply { attempt_id, call_id, ok: true, value: Some(value), error: None }
            .encode()
            .unwrap_or_else(|_| refusal("too-big", "the answer is larger than a message may be")),
    }
}
