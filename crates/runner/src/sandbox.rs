//! What stands between user code and the machine: bubblewrap around the runner, Chromium's own sandbox around its pages.
//!
//! Inside bubblewrap there are the system's programs, the runner environments and the deployments, all read-only, the slot's
//! own folder, and nothing else of the machine's files; no other process is visible, and the runner is an unprivileged user
//! even when the server is root. What the host does not allow is found out once, when the pool is opened, by trying it, and
//! said aloud in [`Protections`]; nothing is left out silently, and [`SandboxPolicy::Required`] refuses to go without.
//! If the server dies, the kernel ends bubblewrap, and with it everything inside.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncReadExt as _;

use crate::spawn::{Exit, Launch, Spawner, find_tool};

/// The user and group that user code runs as when the server is root: the system's "nobody", which owns nothing.
pub(crate) const UNPRIVILEGED_ID: u32 = 65_534;

/// The trial takes some 20 ms; one that takes this long does not work.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a failing tool's own words is repeated.
const MAX_REASON_BYTES: u64 = 400;

/// The trial's way to say that bubblewrap works and a further user namespace inside it does not.
const NO_INNER_NAMESPACE: i32 = 3;

/// Folders of the system that programs need, beside `/usr`. Links where `/usr` is merged, folders elsewhere.
const SYSTEM_FOLDERS: [&str; 5] = ["/bin", "/sbin", "/lib", "/lib64", "/lib32"];

/// What of `/etc` names, certificates, fonts and programs need. Nothing in it is secret on any system.
const SYSTEM_SETTINGS: [&str; 20] = [
    "alternatives",
    "ca-certificates",
    "chromium",
    "chromium.d",
    "crypto-policies",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "pki",
    "ssl/certs",
    "timezone",
];

/// Whether to run where the host does not allow a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxPolicy {
    /// Protect as far as the host allows and say what is missing.
    WhereAllowed,
    /// Refuse to start without bubblewrap and Chromium's own sandbox.
    Required,
}

/// What protects the machine from user code and pages, and what does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Protections {
    /// Whether runners see only their own files and processes.
    pub is_runner_sandboxed: bool,
    /// Whether Chromium's own sandbox is on.
    pub is_browser_sandboxed: bool,
    /// Whether user code runs without the rights of root.
    pub is_unprivileged: bool,
    /// What is in force, one line each.
    pub in_force: Vec<String>,
    /// What is missing and why, one line each.
    pub missing: Vec<String>,
}

impl Protections {
    /// Everything, as lines for the log at start.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let in_force = self.in_force.iter().map(|line| format!("protected: {line}"));
        in_force.chain(self.missing.iter().map(|line| format!("NOT protected: {line}")))
    }
}

/// What the temporary folder is called inside. Full Chromium makes a socket in it, and the address of a socket has at most 107
/// bytes, which a slot's own path can use up.
const SHORT_NAME: &str = "/tmp/.slot";

/// What a sandboxed process may reach beside the system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) writable: &'a [PathBuf],
    pub(crate) readable: &'a [PathBuf],
}

/// How this host can be protected, found out once.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    wall: Wall,
    is_browser_sandboxed: bool,
}

/// What is around a runner.
#[derive(Clone, Debug)]
enum Wall {
    /// Bubblewrap; started by root it also gives up root's rights inside.
    Bubblewrap { bwrap: PathBuf, setpriv: Option<PathBuf> },
    /// Nothing but a session of its own and a signal when the server dies.
    None { setpriv: Option<PathBuf> },
}

impl Sandbox {
    /// Finds out by trial what the host allows. `scratch` is a folder that the trial may write into.
    pub(crate) async fn probe(spawner: &Spawner, scratch: &Path) -> (Self, Protections) {
        let is_root = rustix::process::geteuid().is_root();
        let (setpriv, unshare) = (find_tool("setpriv"), find_tool("unshare"));
        let walled = match (find_tool("bwrap"), &setpriv) {
            (None, _) => Err("bubblewrap is not installed".to_owned()),
            (Some(_), None) if is_root => Err("setpriv is not installed, which gives up root's rights".to_owned()),
            (Some(bwrap), _) => {
                let wall = Wall::Bubblewrap { bwrap, setpriv: if is_root { setpriv.clone() } else { None } };
                let sandbox = Self { wall, is_browser_sandboxed: false };
                trial(spawner, sandbox, scratch, unshare.as_deref()).await
            }
        };
        let (sandbox, why_no_wall) = match walled {
            Ok(sandbox) => (sandbox, None),
            Err(reason) => {
                let bare = Self { wall: Wall::None { setpriv }, is_browser_sandboxed: false };
                let sandbox =
                    if is_root { Ok(bare.clone()) } else { trial(spawner, bare.clone(), scratch, unshare.as_deref()).await };
                (sandbox.unwrap_or(bare), Some(reason))
            }
        };
        let protections = sandbox.protections(is_root, why_no_wall);
        (sandbox, protections)
    }

    /// Whether Chromium is to be started with its own sandbox.
    pub(crate) const fn is_browser_sandboxed(&self) -> bool {
        self.is_browser_sandboxed
    }

    /// Whether a PID namespace ends everything at once when its first process is killed.
    pub(crate) const fn has_pid_namespace(&self) -> bool {
        matches!(self.wall, Wall::Bubblewrap { .. })
    }

    /// Whom writable files have to belong to, when not to the server's own user.
    pub(crate) const fn owner(&self) -> Option<u32> {
        match &self.wall {
            Wall::Bubblewrap { setpriv: Some(_), .. } => Some(UNPRIVILEGED_ID),
            Wall::Bubblewrap { setpriv: None, .. } | Wall::None { .. } => None,
        }
    }

    /// Gives a file or folder to the user inside.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn give(&self, path: &Path) -> std::io::Result<()> {
        if let Some(id) = self.owner() {
            std::os::unix::fs::lchown(path, Some(id), Some(id))?;
        }
        Ok(())
    }

    /// The same launch inside the sandbox. Every path of `reach` must be free of links and exist.
    pub(crate) fn wrap(&self, launch: Launch, reach: Reach<'_>) -> Launch {
        match &self.wall {
            Wall::Bubblewrap { bwrap, setpriv } => {
                let folder = launch.folder.clone();
                let mut launch = launch;
                for (_, value) in launch.env.iter_mut().filter(|(name, value)| name == "TMPDIR" && *value == folder) {
                    *value = SHORT_NAME.into();
                }
                let env = find_tool("env").unwrap_or_else(|| PathBuf::from("/usr/bin/env"));
                // The folder is private to the user inside, so it is entered last.
                let inside = launch.behind(env, ["-C".into(), folder.clone().into_os_string()]);
                let inside = match setpriv {
                    Some(setpriv) => inside.behind(setpriv, give_up_root()),
                    None => inside,
                };
                let mut outside = inside.behind(bwrap, walls(setpriv.is_some(), &folder, reach)).limited();
                outside.folder = PathBuf::from("/");
                outside
            }
            Wall::None { setpriv: Some(setpriv) } => {
                launch.limited().behind(setpriv, ["--no-new-privs", "--pdeathsig", "TERM"].map(OsString::from))
            }
            Wall::None { setpriv: None } => launch.limited(),
        }
    }

    fn protections(&self, is_root: bool, why_no_wall: Option<String>) -> Protections {
        let (is_runner_sandboxed, is_unprivileged) = (self.has_pid_namespace(), !is_root || self.owner().is_some());
        let (mut in_force, mut missing) = (Vec::new(), Vec::new());
        match why_no_wall {
            None => {
                in_force.push("runners are in bubblewrap: they see their own folder and processes, and read-only code".to_owned())
            }
            Some(reason) => missing.push(format!("runners are not in bubblewrap and see what the server's user sees: {reason}")),
        }
        if is_unprivileged {
            in_force.push("user code runs as an unprivileged user".to_owned());
        } else {
            missing
                .push("user code runs as root; start the server as another user, or install bubblewrap and allow it".to_owned());
        }
        if self.is_browser_sandboxed {
            in_force.push("Chromium's own sandbox is on".to_owned());
        } else {
            missing.push(
                "Chromium's own sandbox is off: the host does not let an unprivileged process make user namespaces".to_owned(),
            );
        }
        if find_tool("prlimit").is_some() {
            in_force.push("open files are bounded and core dumps are off".to_owned());
        } else {
            missing.push("open files are not bounded: prlimit is not installed".to_owned());
        }
        missing.push("memory, number of processes and disk of a slot are not bounded by the kernel".to_owned());
        missing.push(
            "slots share the network of the server: user code can reach local services and, where a project has a setup hook, the \
            debugging port of its browser"
                .to_owned(),
        );
        Protections { is_runner_sandboxed, is_browser_sandboxed: self.is_browser_sandboxed, is_unprivileged, in_force, missing }
    }
}

/// Everything root may do is given up before any code of a runner runs; bubblewrap already forbids getting it back.
fn give_up_root() -> [OsString; 7] {
    let id = UNPRIVILEGED_ID.to_string();
    ["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"].map(OsString::from)
}

/// Bubblewrap's arguments.
fn walls(is_root: bool, folder: &Path, reach: Reach<'_>) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |words: &[&std::ffi::OsStr]| args.extend(words.iter().map(OsString::from));
    for word in ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session"] {
        add(&[word.as_ref()]);
    }
    if is_root {
        // Only what it takes to become somebody else.
        for word in ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"] {
            add(&[word.as_ref()]);
        }
    } else {
        add(&["--unshare-user".as_ref()]);
    }
    add(&["--ro-bind".as_ref(), "/usr".as_ref(), "/usr".as_ref()]);
    for folder in SYSTEM_FOLDERS.map(Path::new) {
        match std::fs::read_link(folder) {
            Ok(target) => add(&["--symlink".as_ref(), target.as_os_str(), folder.as_os_str()]),
            Err(_) if folder.is_dir() => add(&["--ro-bind".as_ref(), folder.as_os_str(), folder.as_os_str()]),
            Err(_) => {}
        }
    }
    for (words, place) in
        [(["--proc", ""], "/proc"), (["--dev", ""], "/dev"), (["--tmpfs", "1777"], "/dev/shm"), (["--tmpfs", "1777"], "/tmp")]
    {
        if !words[1].is_empty() {
            add(&["--perms".as_ref(), words[1].as_ref()]);
        }
        add(&[words[0].as_ref(), place.as_ref()]);
    }
    add(&["--symlink".as_ref(), folder.as_os_str(), SHORT_NAME.as_ref()]);
    // Folders on the way to what is bound. Bubblewrap would make them unreadable for anybody but root.
    let settings: Vec<(PathBuf, PathBuf)> = SYSTEM_SETTINGS
        .iter()
        .map(|name| Path::new("/etc").join(name))
        .filter_map(|path| Some((path.canonicalize().ok()?, path)))
        .chain(resolver())
        .collect();
    let places = settings
        .iter()
        .map(|(_, place)| place.as_path())
        .chain(reach.readable.iter().chain(reach.writable).map(PathBuf::as_path));
    let on_the_way: BTreeSet<&Path> =
        places.flat_map(|place| place.ancestors().skip(1)).filter(|folder| *folder != Path::new("/")).collect();
    for folder in on_the_way.into_iter().filter(|folder| !folder.starts_with("/usr")) {
        add(&["--dir".as_ref(), folder.as_os_str()]);
    }
    for (source, place) in &settings {
        add(&["--ro-bind".as_ref(), source.as_os_str(), place.as_os_str()]);
    }
    for path in reach.readable {
        add(&["--ro-bind".as_ref(), path.as_os_str(), path.as_os_str()]);
    }
    for path in reach.writable {
        add(&["--bind".as_ref(), path.as_os_str(), path.as_os_str()]);
    }
    args
}

/// The file that names the DNS servers is often a link into a folder that the sandbox does not have.
fn resolver() -> Option<(PathBuf, PathBuf)> {
    let place = PathBuf::from("/etc/resolv.conf");
    Some((place.canonicalize().ok()?, place))
}

/// Runs a trivial program in the sandbox that makes the namespaces Chromium makes.
async fn trial(spawner: &Spawner, sandbox: Sandbox, scratch: &Path, unshare: Option<&Path>) -> Result<Sandbox, String> {
    sandbox.give(scratch).map_err(|error| format!("a folder cannot be given to another user: {error}"))?;
    let inner = match unshare {
        Some(unshare) => format!("{} --user --pid --net --fork true 2>/dev/null || exit {NO_INNER_NAMESPACE}", unshare.display()),
        None => format!("exit {NO_INNER_NAMESPACE}"),
    };
    let launch = Launch::new("/bin/sh", scratch).arg("-c").arg(format!("touch ./trial || exit 1; {inner}"));
    let launch = sandbox.wrap(launch, Reach { writable: &[scratch.to_owned()], readable: &[] });
    let mut process = spawner.spawn(launch).await.map_err(|error| format!("it cannot be started: {error}"))?;
    let stderr = process.stderr.take();
    let exit = tokio::time::timeout(PROBE_TIMEOUT, process.wait()).await.map_err(|_| "a trial of it did not end".to_owned())?;
    match exit {
        Exit::Code(0) => Ok(Sandbox { is_browser_sandboxed: true, ..sandbox }),
        Exit::Code(NO_INNER_NAMESPACE) => Ok(sandbox),
        Exit::Code(_) | Exit::Signal(_) | Exit::Unknown => {
            let mut words = String::new();
            if let Some(stderr) = stderr {
                // Words that are not UTF-8 are no reason; the exit says enough then.
                drop(stderr.take(MAX_REASON_BYTES).read_to_string(&mut words).await);
            }
            Err(format!("a trial of it {exit}: {}", words.trim()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_found_out_is_what_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        let spawner = Spawner::start().unwrap();
        let (sandbox, protections) = Sandbox::probe(&spawner, scratch.path()).await;
        assert_eq!(protections.is_browser_sandboxed, sandbox.is_browser_sandboxed());
        assert_eq!(protections.is_runner_sandboxed, sandbox.has_pid_namespace());
        let said = |word: &str| protections.lines().any(|line| line.starts_with("NOT") && line.contains(word));
        assert_eq!(said("bubblewrap and see"), !protections.is_runner_sandboxed);
        assert_eq!(said("as root"), !protections.is_unprivileged);
        assert_eq!(said("Chromium"), !protections.is_browser_sandboxed);
    }

    #[tokio::test]
    async fn inside_there_is_nothing_of_the_machine_but_what_was_given() {
        let (scratch, given, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(given.path().join("code"), "code").unwrap();
        std::fs::write(kept.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::chown(given.path(), Some(rustix::process::geteuid().as_raw()), None).unwrap();
        std::fs::set_permissions(given.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let spawner = Spawner::start().unwrap();
        let (sandbox, protections) = Sandbox::probe(&spawner, scratch.path()).await;
        if !protections.is_runner_sandboxed {
            eprintln!("skipped: this host allows no bubblewrap");
            return;
        }
        let script = format!(
            "set -e; test $(pwd) = {scratch}; echo x > written; test $(cat {given}/code) = code; ! touch {given}/more; \
             ! test -e {kept}/secret; ! test -e /root/.ssh; ! test -e /var; ! kill -0 {server}; test $(id -u) != 0; \
             ls /proc | grep -c '^[0-9]' | grep -qx '[1-6]'",
            scratch = scratch.path().display(),
            given = given.path().display(),
            kept = kept.path().display(),
            server = std::process::id(),
        );
        let launch = Launch::new("/bin/sh", scratch.path()).var("PATH", "/usr/bin:/bin").arg("-c").arg(script);
        let reach = Reach { writable: &[scratch.path().to_owned()], readable: &[given.path().to_owned()] };
        let mut process = spawner.spawn(sandbox.wrap(launch, reach)).await.unwrap();
        let mut words = String::new();
        process.stderr.take().unwrap().read_to_string(&mut words).await.unwrap();
        assert_eq!(process.wait().await, Exit::Code(0), "{words}");
    }

    #[tokio::test]
    async fn the_temporary_folder_has_a_short_name_inside() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("a-folder-with-a-name-that-is-far-too-long-for-a-socket".repeat(3));
        std::fs::create_dir(&folder).unwrap();
        let spawner = Spawner::start().unwrap();
        let (sandbox, protections) = Sandbox::probe(&spawner, scratch.path()).await;
        if !protections.is_runner_sandboxed {
            eprintln!("skipped: this host allows no bubblewrap");
            return;
        }
        sandbox.give(&folder).unwrap();
        let script = "set -e; test ${#TMPDIR} -lt 40; echo x > $TMPDIR/written; test -f ./written";
        let launch = Launch::new("/bin/sh", &folder).var("PATH", "/usr/bin:/bin").var("TMPDIR", &folder).arg("-c").arg(script);
        let reach = Reach { writable: std::slice::from_ref(&folder), readable: &[] };
        let mut process = spawner.spawn(sandbox.wrap(launch, reach)).await.unwrap();
        let mut words = String::new();
        process.stderr.take().unwrap().read_to_string(&mut words).await.unwrap();
        assert_eq!(process.wait().await, Exit::Code(0), "{words}");
    }
}
