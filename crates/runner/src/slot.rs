//! One slot: a runner process and the browser it launched, supervised and ended together.
//!
//! The supervisor is one loop that looks at the clock and at cancellation first, then at the process, then at what it says;
//! nothing a runner does or leaves undone can keep it from the next look. Refuses to be reused after any doubt.
//! If the server dies, the connection closes and the kernel ends the process; what is left is swept at the next start.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use keywright_domain::{AttemptOrder, DeploymentId, Stage, Viewport};
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::calls::{Refusal, answer};
use crate::conversation::{Conversation, Heard, Outcome};
use crate::ending::{Ending, MAX_RESULT_BYTES};
use crate::environment::{Environment, SlotKind};
use crate::folder::{LOOK_INTERVAL, SlotFolder};
use crate::host::AttemptHost;
use crate::link::{Link, Received};
use crate::log::{AttemptLog, Stream};
use crate::pipes::Pipes;
use crate::protocol::{
    BrowserSpec, FromRunner, Level, ProxySpec, ReplyError, RunContext, Size, Start, ToRunner, TraceSpec, VERSION,
};
use crate::sandbox::Reach;
use crate::spawn::{Exit, Process};
use crate::tree;
use crate::yard::Yard;

/// From the start of the process to a launched browser, and from the start of an attempt to its first line of user code.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest an attempt may live, whatever it extends.
const MAX_ATTEMPT: Duration = Duration::from_secs(6 * 60 * 60);

/// From `abort` to TERM.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// From TERM to KILL.
const TERM_GRACE: Duration = Duration::from_secs(3);

/// From `shutdown` to TERM, for a slot in which nothing of the user's runs.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// From KILL to the certainty that nothing is left.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

/// From the end of the process to the end of what it had said, and the other way round.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// From `done` to `idle`: closing a browser context.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most calls of one attempt that are answered, or whose answers wait for the runner to read, at the same time; further ones
/// wait in the socket.
const MAX_OPEN_CALLS: usize = 32;

/// The socket's name in the slot's folder.
const SOCKET: &str = "runner.sock";

/// Where the slot stands. Each state holds what is true in it only.
#[derive(Debug)]
enum State {
    /// Browser launched, nothing of any project loaded.
    Warm,
    /// Belongs to a deployment; no attempt is under way.
    Bound { deployment: DeploymentId },
    /// The attempt is done or given up, and its context is not closed yet.
    Settling { deployment: DeploymentId, attempt_id: String },
    /// Not to be used again, and why.
    Doubtful(String),
}

/// A runner process with its browser. Dropping it kills it; [`Slot::end`] also cleans up.
#[derive(Debug)]
pub(crate) struct Slot {
    state: State,
    process: Process,
    link: Link,
    pipes: Pipes,
    folder: Arc<SlotFolder>,
    began: Instant,
    attempts: u32,
}

/// What one attempt in a slot came to.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) ending: Ending,
    /// Whether user code may have started.
    pub(crate) has_run: bool,
    /// The raw trace in `traces`, if one was wanted and written.
    pub(crate) trace: Option<PathBuf>,
}

/// Why a slot could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The machine refused: no process, no folder, no socket.
    #[error("{what}")]
    System {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// The runner did not come up.
    #[error("the runner {why}")]
    Runner { why: String },
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

impl Slot {
    /// Starts a runner and its browser. What was begun is cleaned up when it does not come up, or need not any more.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(crate) async fn start(yard: &Yard, kind: SlotKind, stop: &CancellationToken) -> Result<Self, StartError> {
        let folder = yard.new_folder().map_err(system("no folder for a slot"))?;
        let folder = Arc::new(folder);
        match Self::start_in(yard, kind, stop, Arc::clone(&folder)).await {
            Ok(slot) => Ok(slot),
            Err(error) => {
                clean(folder).await;
                Err(error)
            }
        }
    }

    async fn start_in(yard: &Yard, kind: SlotKind, stop: &CancellationToken, folder: Arc<SlotFolder>) -> Result<Self, StartError> {
        let listener = folder.listen(SOCKET, yard.sandbox()).map_err(system("no socket for a slot"))?;
        let Environment { launch, readable } =
            yard.environment(&kind, folder.path(), SOCKET).await.map_err(system("no environment for a runner"))?;
        let launch = yard.sandbox().wrap(launch, Reach { writable: &[folder.path().to_owned()], readable: &readable });
        let mut process = yard.spawner().spawn(launch).await.map_err(system("no process for a runner"))?;
        folder.note(process.pid()).map_err(system("no note about a runner"))?;
        let mut pipes = Pipes::drain(&mut process, yard.tasks());
        let came_up = tokio::select! {
            came_up = timeout(START_TIMEOUT, Self::come_up(yard, &kind, &mut process, listener, folder.path())) => came_up,
            () = stop.cancelled() => Ok(Err("is not needed any more".to_owned())),
        };
        let why = match came_up {
            Ok(Ok(link)) => {
                return Ok(Self { state: State::Warm, process, link, pipes, folder, began: Instant::now(), attempts: 0 });
            }
            Ok(Err(why)) => why,
            Err(_) => format!("was not ready within {} s", START_TIMEOUT.as_secs()),
        };
        end_tree(&mut process, folder.path(), yard.sandbox().has_pid_namespace()).await;
        let said: Vec<String> = std::iter::from_fn(|| pipes.waiting()).collect();
        if !said.is_empty() {
            tracing::warn!(output = said.join("\n"), "a runner that did not come up said");
        }
        Err(StartError::Runner { why })
    }

    /// Connection, `hello`, `warm`, `ready`.
    async fn come_up(
        yard: &Yard, kind: &SlotKind, process: &mut Process, listener: UnixListener, folder: &Path,
    ) -> Result<Link, String> {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(|error| format!("could not be heard: {error}"))?.0,
            exit = process.wait() => return Err(format!("{exit} before it said anything")),
        };
        // One connection and no more: whatever the runner starts finds no door.
        drop(listener);
        drop(std::fs::remove_file(folder.join(SOCKET)));
        let mut link = Link::new(stream, yard.tasks());
        match next(&mut link, process).await? {
            FromRunner::Hello(hello) if hello.protocol != VERSION => return Err(format!("speaks protocol {}", hello.protocol)),
            FromRunner::Hello(hello) if hello.language != kind.language.as_str() => return Err(format!("is one for {}", hello.language)),
            FromRunner::Hello(hello) => {
                tracing::debug!(language = hello.language, version = hello.language_version, playwright = hello.playwright_version, "a runner is there");
            }
            other => return Err(format!("began with a {} message", other.kind())),
        }
        let browser = yard.browser();
        let Viewport { width, height } = Viewport::default();
        let spec = BrowserSpec {
            executable_path: yard.browser_program(kind.browser),
            args: &browser.args,
            headless: true,
            sandbox: yard.sandbox().is_browser_sandboxed(),
            ignore_https_errors: browser.ignore_https_errors,
            width,
            height,
        };
        link.say(&ToRunner::Warm { browser: spec }).map_err(|_| "does not listen".to_owned())?;
        match next(&mut link, process).await? {
            FromRunner::Ready(ready) => {
                tracing::debug!(browser = ready.browser_version, "a slot is warm");
                Ok(link)
            }
            FromRunner::Failed(failed) => Err(format!("could not launch the browser: {}", failed.message)),
            other => Err(format!("answered `warm` with a {} message", other.kind())),
        }
    }

    /// How many attempts it has served.
    pub(crate) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When its browser was launched.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// Whether its process lives.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Whether it may serve another attempt: no doubt has come up, and its process lives and keeps quiet.
    pub(crate) fn is_sound(&mut self) -> bool {
        match &self.state {
            State::Doubtful(_) | State::Settling { .. } => return false,
            State::Warm | State::Bound { .. } => {}
        }
        // A runner without an attempt has nothing to say; anything, an end included, is a reason for doubt.
        let is_quiet = self.link.receive().now_or_never().is_none();
        is_quiet && self.is_alive()
    }

    /// Executes one attempt. Returns when its outcome is known or it was given up; user code may still run then, unless the
    /// runner said that it is done. [`Slot::settle`] or [`Slot::end`] must follow.
    pub(crate) async fn serve(
        &mut self, yard: &Yard, order: &AttemptOrder, host: &Arc<dyn AttemptHost>, cancel: &CancellationToken, log: &mut AttemptLog,
    ) -> Served {
        self.attempts += 1;
        while self.pipes.waiting().is_some() {
            // What was said between attempts belongs to nobody.
        }
        let attempt_id = order.attempt.to_string();
        let trace_name = order.is_trace_wanted.then(|| format!("trace-{}.zip", self.attempts));
        let mut watch = Watch {
            conversation: Conversation::new(attempt_id.clone()),
            has_run: false,
            deadline: Instant::now() + START_TIMEOUT,
            limit: Duration::from_secs(order.timeout.get().into()),
            hard_end: None,
            given_up: None,
        };
        let begun = self.begin(yard, order, &attempt_id, trace_name.as_deref(), cancel).await;
        let (ending, is_orderly) = match begun {
            Ok(()) => self.watch(&mut watch, host, cancel, log).await,
            Err(ending) => (ending, false),
        };
        while let Some(line) = self.pipes.waiting() {
            log.note(Level::Error, Stream::Process, &line);
        }
        if let Ending::Said(Outcome::Failed(error)) = &ending
            && let Some(stack) = &error.stack
        {
            log.note(Level::Error, Stream::Keywright, stack);
        }
        self.state = if is_orderly {
            State::Settling { deployment: order.deployment.clone(), attempt_id }
        } else {
            State::Doubtful(format!("attempt {attempt_id} did not end in order"))
        };
        let trace = match trace_name {
            Some(name) => self.take_trace(yard, order, name).await,
            None => None,
        };
        Served { ending, has_run: watch.has_run, trace }
    }

    /// `bind`, when the slot belongs to nobody yet, and `start`.
    async fn begin(
        &mut self, yard: &Yard, order: &AttemptOrder, attempt_id: &str, trace_name: Option<&str>, cancel: &CancellationToken,
    ) -> Result<(), Ending> {
        let lost = |why: &str| Ending::Lost(format!("started: {why}"));
        match &self.state {
            State::Warm => {
                let root = yard.deployment_folder(&order.deployment);
                let bind = ToRunner::Bind { root: &root, env: &BTreeMap::new(), is_auth_enabled: order.session.is_some() };
                self.link.say(&bind).map_err(|_| Ending::Exited(None))?;
                let answer = tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Err(Ending::Canceled),
                    answer = timeout(START_TIMEOUT, next(&mut self.link, &mut self.process)) => answer,
                };
                match answer {
                    Ok(Ok(FromRunner::Bound)) => self.state = State::Bound { deployment: order.deployment.clone() },
                    Ok(Ok(other)) => return Err(lost(&format!("the runner answered `bind` with a {} message", other.kind()))),
                    Ok(Err(why)) => return Err(lost(&format!("the runner {why}"))),
                    Err(_) => return Err(lost("the runner did not answer `bind`")),
                }
            }
            State::Bound { deployment } if *deployment == order.deployment => {}
            State::Bound { .. } | State::Settling { .. } | State::Doubtful(_) => return Err(lost("the slot is not free for it")),
        }
        let trace_path = trace_name.map(|name| self.folder.path().join(name));
        let start = start_message(order, attempt_id, trace_path.as_deref(), yard.browser().ignore_https_errors);
        let start = start.encode().map_err(|_| lost("its inputs and its session's state are larger than a message may be"))?;
        self.link.send(start).map_err(|_| Ending::Exited(None))
    }

    /// The supervisor's loop. Says how it ended, and whether the runner ended it in order.
    async fn watch(
        &mut self, watch: &mut Watch, host: &Arc<dyn AttemptHost>, cancel: &CancellationToken, log: &mut AttemptLog,
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

    async fn take_trace(&self, yard: &Yard, order: &AttemptOrder, name: String) -> Option<PathBuf> {
        let target = yard.traces().join(format!("{}.zip", order.attempt));
        let (folder, to) = (Arc::clone(&self.folder), target.clone());
        match tokio::task::spawn_blocking(move || folder.take(&name, &to)).await {
            Ok(Ok(true)) => Some(target),
            Ok(Ok(false)) => None,
            Ok(Err(error)) => {
                tracing::warn!(attempt = %order.attempt, %error, "a trace could not be taken");
                None
            }
            Err(_) => None,
        }
    }

    /// Waits until the context of the last attempt is closed.
    ///
    /// # Errors
    /// The reason why the slot must not be used again.
    pub(crate) async fn settle(&mut self) -> Result<(), String> {
        let (deployment, attempt_id) = match &self.state {
            State::Warm | State::Bound { .. } => return Ok(()),
            State::Doubtful(why) => return Err(why.clone()),
            State::Settling { deployment, attempt_id } => (deployment.clone(), attempt_id.clone()),
        };
        let why = match timeout(IDLE_TIMEOUT, next(&mut self.link, &mut self.process)).await {
            Ok(Ok(FromRunner::Idle(idle))) if idle.attempt_id == attempt_id && idle.reusable => {
                self.state = State::Bound { deployment };
                return Ok(());
            }
            Ok(Ok(FromRunner::Idle(idle))) => idle.reason.unwrap_or_else(|| "the runner gave no reason".to_owned()),
            Ok(Ok(other)) => format!("the runner sent a {} message after an attempt", other.kind()),
            Ok(Err(why)) => format!("the runner {why}"),
            Err(_) => "the context of the last attempt was not closed in time".to_owned(),
        };
        self.state = State::Doubtful(why.clone());
        Err(why)
    }

    /// Ends everything in the slot and removes its folder. `is_user_code_over` says that nothing of the user's runs any more,
    /// so that the runner may be asked to go first; otherwise it was asked to abort already.
    pub(crate) async fn end(mut self, yard: &Yard, is_user_code_over: bool) {
        if self.process.ended().is_none() {
            let asked = is_user_code_over && self.link.say(&ToRunner::Shutdown).is_ok();
            let is_gone = asked && timeout(SHUTDOWN_GRACE, self.process.wait()).await.is_ok();
            if !is_gone && !is_user_code_over {
                self.terminate(yard).await;
            }
        }
        end_tree(&mut self.process, self.folder.path(), yard.sandbox().has_pid_namespace()).await;
        clean(Arc::clone(&self.folder)).await;
    }

    /// TERM to the runner, and time to act on it.
    async fn terminate(&mut self, yard: &Yard) {
        // Inside bubblewrap the runner is the child of the namespace's first process, which is the child of ours.
        let distance = if yard.sandbox().has_pid_namespace() { 2 } else { 0 };
        if distance == 0 {
            tree::send(self.process.pid(), Signal::TERM);
        } else {
            let below = tree::descendants(&tree::processes(), self.process.pid());
            below.iter().filter(|(_, at)| *at == distance).for_each(|(entry, _)| tree::send(entry.pid, Signal::TERM));
        }
        drop(timeout(TERM_GRACE, self.process.wait()).await);
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

/// What the supervisor's loop keeps in mind.
struct Watch {
    conversation: Conversation,
    has_run: bool,
    deadline: Instant,
    /// Time until the deadline, counted anew by every extension.
    limit: Duration,
    /// No extension reaches beyond this moment.
    hard_end: Option<Instant>,
    /// Why the attempt was given up; what the runner says from then on changes nothing.
    given_up: Option<Ending>,
}

impl Watch {
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

/// The next message of a runner that has to say something now. The error completes "the runner …".
async fn next(link: &mut Link, process: &mut Process) -> Result<FromRunner, String> {
    match link.receive().await {
        Ok(Received::Message(message)) => Ok(message),
        Ok(Received::Closed) => Err(match timeout(CLOSE_GRACE, process.wait()).await {
            Ok(exit) => exit.to_string(),
            Err(_) => "closed its connection".to_owned(),
        }),
        Err(error) => Err(format!("broke the protocol: {error}")),
    }
}

/// KILL, until nothing of the slot is left.
async fn end_tree(process: &mut Process, folder: &Path, has_pid_namespace: bool) {
    let deadline = Instant::now() + KILL_TIMEOUT;
    let root = process.pid();
    if has_pid_namespace {
        if process.ended().is_none() {
            // With the first process of a namespace the kernel ends every other one in it; ours is its parent and follows.
            tree::descendants(&tree::processes(), root).iter().filter(|(_, at)| *at == 1).for_each(|(entry, _)| tree::send(entry.pid, Signal::KILL));
            tree::send(root, Signal::KILL);
        }
        drop(timeout(KILL_TIMEOUT, process.wait()).await);
        wait_for_end(folder, root, deadline, |_| {}).await;
    } else {
        wait_for_end(folder, root, deadline, |pid| tree::send(pid, Signal::KILL)).await;
        drop(timeout(KILL_TIMEOUT, process.wait()).await);
    }
}

/// Looks until no process of the slot is left, doing something to each that is.
async fn wait_for_end(folder: &Path, root: i32, deadline: Instant, act: impl Fn(i32)) {
    loop {
        let marked = folder.to_owned();
        let left = tokio::task::spawn_blocking(move || tree::of_slot(root, &marked)).await.unwrap_or_default();
        if left.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            tracing::error!(pids = ?left.iter().map(|entry| entry.pid).collect::<Vec<_>>(), "processes of a slot do not end");
            return;
        }
        left.iter().for_each(|entry| act(entry.pid));
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Removes a slot's folder.
async fn clean(folder: Arc<SlotFolder>) {
    let path = folder.path().to_owned();
    match tokio::task::spawn_blocking(move || folder.remove()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(folder = %path.display(), %error, "a slot's folder could not be removed"),
        Err(_) => tracing::error!(folder = %path.display(), "a slot's folder was not removed"),
    }
}

fn start_message<'a>(order: &'a AttemptOrder, attempt_id: &'a str, trace: Option<&'a Path>, ignore_https_errors: bool) -> ToRunner<'a> {
    let Viewport { width, height } = order.viewport;
    let function = order.entry.path();
    let proxy = order.proxy.as_ref().map(|proxy| {
        let (username, password) = proxy.credentials().unzip();
        ProxySpec { server: proxy.server(), username, password: password.map(keywright_domain::Secret::into_inner) }
    });
    ToRunner::Start(Box::new(Start {
        attempt_id,
        function: function.clone(),
        parameters: order.parameters.as_ref().map(keywright_domain::Secret::reveal),
        timeout_ms: u64::from(order.timeout.get()) * 1_000,
        session: order.state.as_ref().map(keywright_domain::Secret::reveal),
        capture_session: match order.stage {
            Stage::Create => true,
            Stage::Check | Stage::PostCheck | Stage::Api => false,
        },
        viewport: Size { width, height },
        timezone: order.timezone.as_deref(),
        locale: order.locale.as_deref(),
        ignore_https_errors,
        proxy,
        trace: trace.map(|path| TraceSpec { path, screenshots: true, snapshots: true, sources: true }),
        context: RunContext {
            run_id: order.attempt.run.as_str(),
            auth_session_id: order.session.as_ref().map(|session| session.id.as_str()),
            attempt_number: order.attempt.number.get(),
            api_name: function,
            workspace_id: order.workspace.as_str(),
            project_name: order.project_name.as_str(),
        },
        auth_parameters: order.auth_parameters.as_ref().map(keywright_domain::Secret::reveal),
        max_result_bytes: MAX_RESULT_BYTES,
    }))
}
