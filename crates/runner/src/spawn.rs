//! Starts processes, and is the only place that does.
//!
//! The kernel's "die with the parent" follows the *thread* that forked, not the process, and a runtime's worker threads come
//! and go. So one thread does nothing but start processes and lives as long as the pool; when this process dies by whatever
//! means, that thread dies, and the kernel ends what it started.
//! Refuses to hand anything down by itself: a child's environment is exactly what its [`Launch`] says, its input is empty,
//! it has a session of its own (a terminal's Ctrl-C does not reach it), and it is killed when its handle is dropped.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessSession};
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Most open files of a process below a slot; the kernel's usual 1024 is too few for a browser with many pages.
const MAX_OPEN_FILES: u64 = 4_096;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// An absolute path.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) folder: PathBuf,
}

impl Launch {
    /// A program with arguments in a folder, with an empty environment.
    pub(crate) fn new(program: impl Into<PathBuf>, folder: &Path) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), folder: folder.to_owned() }
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets one variable.
    pub(crate) fn var(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The same program started by another one, `program args… -- this`, which brings its own arguments.
    pub(crate) fn behind(self, program: impl Into<PathBuf>, args: impl IntoIterator<Item = OsString>) -> Self {
        let Self { program: inner, args: inner_args, env, folder } = self;
        let args = args.into_iter().chain([OsString::from("--"), inner.into_os_string()]).chain(inner_args).collect();
        Self { program: program.into(), args, env, folder }
    }

    /// The same program with bounds on what one process may hold, and without core dumps, which would hold secrets.
    pub(crate) fn limited(self) -> Self {
        let Some(prlimit) = find_tool("prlimit") else { return self };
        let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(MAX_OPEN_FILES);
        let files = MAX_OPEN_FILES.min(hard);
        self.behind(prlimit, [format!("--nofile={files}:{files}").into(), "--core=0:0".into()])
    }
}

/// Where the system keeps its own tools; the only search path that anything started here gets.
pub(crate) const TOOL_FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"];

/// The tool's absolute path, when the machine has it.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    TOOL_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// A started process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Box<dyn ChildWrapper>,
    pid: i32,
    /// Taken by whoever drains it.
    pub(crate) stdout: Option<ChildStdout>,
    /// Taken by whoever drains it.
    pub(crate) stderr: Option<ChildStderr>,
}

impl Process {
    /// Its pid. It is not reused before [`Process::wait`] has returned.
    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// How it ended, once it has. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> Exit {
        match self.child.wait().await {
            Ok(status) => Exit::from(status),
            Err(error) => {
                tracing::warn!(pid = self.pid, %error, "the end of a process could not be learned");
                Exit::Unknown
            }
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<Exit> {
        self.child.try_wait().ok().flatten().map(Exit::from)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with a code.
    Code(i32),
    /// By a signal, its own or another's.
    Signal(i32),
    /// The system did not say.
    Unknown,
}

impl From<ExitStatus> for Exit {
    /// A sandbox reports the signal that ended its program as 128 and the signal's number.
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code @ 129..=192), _) => Self::Signal(code - 128),
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(9) => f.write_str("was killed (SIGKILL), most likely because the machine ran out of memory"),
            Self::Signal(6) => f.write_str("aborted (SIGABRT), as programs do that run out of memory or find themselves broken"),
            Self::Signal(11) => f.write_str("crashed (SIGSEGV)"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Unknown => f.write_str("ended, nobody knows how"),
        }
    }
}

/// One thing to start, and whom to tell.
type Request = (Launch, oneshot::Sender<std::io::Result<Process>>);

/// The thread that starts processes. Clones share it; it ends with the last of them. Whoever asks waits for the answer, so
/// there are never more requests than attempts, builds and slots that are being started.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
}

impl Spawner {
    /// Starts the thread. Must be called inside the runtime that will wait for the processes.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("kw-spawn".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            for (launch, reply) in inbox {
                // When nobody waits any more the handle comes back and its drop kills the process.
                drop(reply.send(begin(&launch)));
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a process.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) async fn spawn(&self, launch: Launch) -> std::io::Result<Process> {
        let (reply, started) = oneshot::channel();
        let gone = || std::io::Error::other("the thread that starts processes has ended");
        self.requests.send((launch, reply)).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place where processes are started")]
fn begin(launch: &Launch) -> std::io::Result<Process> {
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .env_clear()
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&launch.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = CommandWrap::from(command).wrap(ProcessSession).wrap(KillOnDrop).spawn()?;
    let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
    // The wrapper for sessions waits for every member of the group; a slot waits for its first process and ends the rest itself.
    let child = child.into_inner();
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| std::io::Error::other("it ended at once"))?;
    Ok(Process { child, pid, stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        Launch::new("/bin/sh", Path::new("/")).arg("-c").arg(script)
    }

    #[tokio::test]
    async fn ends_are_told_apart() {
        let spawner = Spawner::start().unwrap();
        for (script, exit) in
            [("exit 0", Exit::Code(0)), ("exit 7", Exit::Code(7)), ("kill -9 $$", Exit::Signal(9)), ("exit 137", Exit::Signal(9))]
        {
            let mut process = spawner.spawn(shell(script)).await.unwrap();
            assert_eq!(process.wait().await, exit, "{script}");
        }
        assert!(spawner.spawn(Launch::new("/no/such/program", Path::new("/"))).await.is_err());
    }

    #[tokio::test]
    async fn a_child_gets_no_environment_but_its_own_and_a_session_of_its_own() {
        let spawner = Spawner::start().unwrap();
        let launch =
            shell("test -z \"$HOME$CARGO_TARGET_DIR\" && test \"$ONLY\" = this && test $(cut -d' ' -f6 /proc/$$/stat) = $$");
        assert_eq!(spawner.spawn(launch.var("ONLY", "this")).await.unwrap().wait().await, Exit::Code(0));
    }

    #[tokio::test]
    async fn limits_hold_below_a_limited_launch() {
        let spawner = Spawner::start().unwrap();
        let launch = shell("test $(ulimit -n) -le 4096 && test $(ulimit -c) = 0").limited();
        assert_eq!(spawner.spawn(launch).await.unwrap().wait().await, Exit::Code(0));
    }

    #[tokio::test]
    async fn a_dropped_handle_kills_its_process() {
        let spawner = Spawner::start().unwrap();
        let mut process = spawner.spawn(shell("exec sleep 60")).await.unwrap();
        let mut stdout = process.stdout.take().unwrap();
        drop(process);
        let mut nothing = Vec::new();
        // The pipe closes when the process is gone.
        tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut nothing).await.unwrap();
    }
}
