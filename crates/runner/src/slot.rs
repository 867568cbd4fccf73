//! One slot: a runner process and the browser it launched, supervised and ended together.
//!
//! Refuses to be reused after any doubt.
//! If the server dies, the connection closes and the kernel ends the process; what is left is swept at the next start.

mod start;
mod supervise;
mod teardown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt as _;
use keywright_domain::{AttemptOrder, Viewport};
use tokio::net::UnixListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::start::start_message;
use self::supervise::Watch;
use self::teardown::{clean, end_tree};
use crate::conversation::Outcome;
use crate::ending::Ending;
use crate::environment::{Environment, SlotKind};
use crate::folder::SlotFolder;
use crate::host::AttemptHost;
use crate::ledger::Pair;
use crate::link::{Link, Received};
use crate::log::{AttemptLog, Stream};
use crate::pipes::Pipes;
use crate::protocol::{BrowserSpec, FromRunner, Level, ToRunner, VERSION};
use crate::sandbox::Reach;
use crate::spawn::Process;
use crate::yard::Yard;

/// From the start of the process to a launched browser, and from the start of an attempt to its first line of user code.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// From the end of the process to the end of what it had said, and the other way round.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// From `done` to `idle`: closing a browser context.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The socket's name in the slot's folder.
const SOCKET: &str = "runner.sock";

/// Where the slot stands. Each state holds what is true in it only.
#[derive(Debug)]
enum State {
    /// Browser launched, nothing of any project loaded.
    Warm,
    /// Belongs to a deployment and a session; no attempt is under way.
    Bound { owner: Pair },
    /// The attempt is done or given up, and its context is not closed yet.
    Settling { owner: Pair, attempt_id: String },
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

    async fn start_in(
        yard: &Yard,
        kind: SlotKind,
        stop: &CancellationToken,
        folder: Arc<SlotFolder>,
    ) -> Result<Self, StartError> {
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
        yard: &Yard,
        kind: &SlotKind,
        process: &mut Process,
        listener: UnixListener,
        folder: &Path,
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
            FromRunner::Hello(hello) if hello.language != kind.language.as_str() => {
                return Err(format!("is one for {}", hello.language));
            }
            FromRunner::Hello(hello) => {
                tracing::debug!(
                    language = hello.language,
                    version = hello.language_version,
                    playwright = hello.playwright_version,
                    "a runner is there"
                );
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
            debugging_port: kind.has_debugging_port,
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
        &mut self,
        yard: &Yard,
        order: &AttemptOrder,
        host: &Arc<dyn AttemptHost>,
        cancel: &CancellationToken,
        log: &mut AttemptLog,
    ) -> Served {
        self.attempts += 1;
        while self.pipes.waiting().is_some() {
            // What was said between attempts belongs to nobody.
        }
        let attempt_id = order.attempt.to_string();
        let trace_name = order.is_trace_wanted.then(|| format!("trace-{}.zip", self.attempts));
        let mut watch = Watch::new(attempt_id.clone(), Duration::from_secs(order.timeout.get().into()));
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
            State::Settling { owner: Pair::of(order), attempt_id }
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
        &mut self,
        yard: &Yard,
        order: &AttemptOrder,
        attempt_id: &str,
        trace_name: Option<&str>,
        cancel: &CancellationToken,
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
                    Ok(Ok(FromRunner::Bound)) => self.state = State::Bound { owner: Pair::of(order) },
                    Ok(Ok(other)) => return Err(lost(&format!("the runner answered `bind` with a {} message", other.kind()))),
                    Ok(Err(why)) => return Err(lost(&format!("the runner {why}"))),
                    Err(_) => return Err(lost("the runner did not answer `bind`")),
                }
            }
            // The ledger sees to it; a slot that got it wrong would show one login to another, so it is seen to twice.
            State::Bound { owner } if *owner == Pair::of(order) => {}
            State::Bound { .. } | State::Settling { .. } | State::Doubtful(_) => return Err(lost("the slot is not free for it")),
        }
        let trace_path = trace_name.map(|name| self.folder.path().join(name));
        let start = start_message(order, attempt_id, trace_path.as_deref(), yard.browser().ignore_https_errors);
        let start = start.encode().map_err(|_| lost("its inputs and its session's state are larger than a message may be"))?;
        self.link.send(start).map_err(|_| Ending::Exited(None))
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
        let (owner, attempt_id) = match &self.state {
            State::Warm | State::Bound { .. } => return Ok(()),
            State::Doubtful(why) => return Err(why.clone()),
            State::Settling { owner, attempt_id } => (owner.clone(), attempt_id.clone()),
        };
        let why = match timeout(IDLE_TIMEOUT, next(&mut self.link, &mut self.process)).await {
            Ok(Ok(FromRunner::Idle(idle))) if idle.attempt_id == attempt_id && idle.reusable => {
                self.state = State::Bound { owner };
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
