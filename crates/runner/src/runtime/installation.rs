//! Installs the runners and what they stand on.
//!
//! Nothing of a package runs while it is installed: npm gets `--ignore-scripts` (esbuild's program comes as a package of its
//! own for each platform, and Playwright is told to bring no browser), and uv takes wheels only.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::folder::remove_unfinished;
use crate::modes::readable_for_everybody;
use crate::spawn::{Launch, Spawner, TOOL_FOLDERS, find_tool};
use crate::tools::{self, ToolError};

/// The sources of both runners, `(path below runners/, content)`, in order.
const SOURCES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The version of uv that reads the lock files; it is part of what is locked.
const UV: &str = "uv==0.13.9";

/// Oldest interpreters that the runners are written for.
const MIN_NODE_MAJOR: u32 = 20;
const MIN_PYTHON: (u32, u32) = (3, 10);

/// An installer downloads some 60 MB; on a slow line this takes minutes, and longer than this nobody waits.
const INSTALL_TIMEOUT: Duration = Duration::from_mins(15);

/// An interpreter that does not say its version within this time is broken.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Begins the name of an installation that is not complete.
const UNFINISHED: &str = ".installing-";

/// How packages are fetched on this machine.
#[derive(Clone, Debug, Default)]
pub struct Installer {
    /// The Python for the base environment; the system's `python3` when absent.
    pub python: Option<PathBuf>,
    /// Where interpreters may be found that are not the system's: the user's home, with pyenv's and uv's folders in it.
    pub home: Option<PathBuf>,
    /// Settings for npm, pip and uv from the server's environment; only those of [`Installer::VARIABLES`] are used.
    pub variables: Vec<(String, String)>,
}

impl Installer {
    /// The variables that say how packages are fetched: proxies, certificates, registries. None of them reaches user code.
    pub const VARIABLES: [&'static str; 20] = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_FIND_LINKS",
        "npm_config_registry",
    ];

    /// The launch of an installer: a search path, a home of its own, caches in it, and the settings of this machine.
    pub(crate) fn launch(&self, program: &Path, folder: &Path, home: &Path) -> Launch {
        let mut launch = Launch::new(program, folder)
            .var("HOME", home)
            .var("TMPDIR", home)
            .var("PATH", TOOL_FOLDERS.join(":"))
            .var("LANG", "C.UTF-8")
            .var("npm_config_cache", home.join("npm-cache"))
            .var("npm_config_update_notifier", "false")
            .var("UV_CACHE_DIR", home.join("uv-cache"))
            .var("UV_LINK_MODE", "copy")
            .var("UV_PYTHON_DOWNLOADS", "never")
            .var("UV_NO_CONFIG", "1")
            .var("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .var("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
        for (name, value) in self.variables.iter().filter(|(name, _)| Self::VARIABLES.contains(&name.as_str())) {
            launch = launch.var(name, value);
        }
        launch
    }
}

/// Why there are no base environments. Completes "failed to …".
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The machine lacks something.
    #[error("find {what}; {fix}")]
    Missing {
        /// What.
        what: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// The disk refused.
    #[error("{what}")]
    Disk {
        /// Completes "failed to …".
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An installer failed.
    #[error("install {what}: {why}")]
    Install {
        /// What was to be installed.
        what: &'static str,
        /// What the installer said.
        why: String,
    },
}

/// The machine's interpreters.
struct Interpreters {
    npm: PathBuf,
    python: PathBuf,
    /// For example `3.11`: an environment belongs to one minor version.
    python_minor: String,
}

/// The folder that holds everything, if it is installed. Installs nothing.
pub(super) async fn find(root: &Path, installer: &Installer) -> Result<Option<PathBuf>, RuntimeError> {
    let disk = |what: &'static str| move |source| RuntimeError::Disk { what, source };
    let spawner = Spawner::start().map_err(disk("start a thread"))?;
    let interpreters = find_interpreters(&spawner, installer).await?;
    let target = root.join(folder_name(&interpreters));
    if target.is_dir() { target.canonicalize().map(Some).map_err(disk("find the folder for the runners")) } else { Ok(None) }
}

/// Installs unless it is there; the folder that holds everything.
pub(super) async fn ensure(root: &Path, installer: &Installer) -> Result<PathBuf, RuntimeError> {
    let disk = |what: &'static str| move |source| RuntimeError::Disk { what, source };
    std::fs::create_dir_all(root).map_err(disk("make the folder for the runners"))?;
    let root = root.canonicalize().map_err(disk("find the folder for the runners"))?;
    let spawner = Spawner::start().map_err(disk("start a thread"))?;
    let interpreters = find_interpreters(&spawner, installer).await?;
    let target = root.join(folder_name(&interpreters));
    if target.is_dir() {
        return Ok(target);
    }
    let lock = root.join(".lock");
    let _held_until_the_end = tokio::task::spawn_blocking(move || lock_file(&lock))
        .await
        .map_err(|_| RuntimeError::Disk { what: "lock the folder for the runners", source: io::Error::other("interrupted") })?
        .map_err(disk("lock the folder for the runners"))?;
    if target.is_dir() {
        return Ok(target);
    }
    // Under the lock, so nobody is still at work on it.
    remove_unfinished(&root, UNFINISHED).map_err(disk("remove an unfinished installation"))?;
    tracing::info!(folder = %target.display(), "installing the runners; this is done once and takes a minute");
    let fresh = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&root).map_err(disk("make a folder for the runners"))?;
    install(&spawner, installer, &interpreters, fresh.path()).await?;
    readable_for_everybody(fresh.path()).map_err(disk("make the runners readable"))?;
    std::fs::rename(fresh.path(), &target).map_err(disk("give the runners their place"))?;
    // It has its name now; nothing is left at the old one to be removed.
    drop(fresh.keep());
    tracing::info!(folder = %target.display(), "the runners are installed");
    Ok(target)
}

fn folder_name(interpreters: &Interpreters) -> String {
    format!("{}-py{}", digest(), interpreters.python_minor)
}

async fn find_interpreters(spawner: &Spawner, installer: &Installer) -> Result<Interpreters, RuntimeError> {
    const NODE_FIX: &str = "install Node.js 20 or newer for the whole system (/usr/bin or /usr/local/bin)";
    const PYTHON_FIX: &str = "install Python 3.10 or newer with its venv module for the whole system (Debian: python3-venv)";
    let missing = |what: &str, fix| RuntimeError::Missing { what: what.to_owned(), fix };
    let node = find_tool("node").ok_or_else(|| missing("Node.js", NODE_FIX))?;
    let npm = find_tool("npm").ok_or_else(|| missing("npm", "install npm, which comes with Node.js, for the whole system"))?;
    let python = installer.python.clone().or_else(|| find_tool("python3")).ok_or_else(|| missing("Python", PYTHON_FIX))?;
    let version = ask(spawner, installer, &node, &["--version"]).await.map_err(|_| missing("a Node.js that works", NODE_FIX))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < MIN_NODE_MAJOR) {
        return Err(RuntimeError::Missing {
            what: format!("Node.js 20 or newer ({} is {version})", node.display()),
            fix: NODE_FIX,
        });
    }
    let question = ["-I", "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"];
    let version = ask(spawner, installer, &python, &question).await.map_err(|_| missing("a Python with venv", PYTHON_FIX))?;
    let parts = version.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    if parts.is_none_or(|parts: (u32, u32)| parts < MIN_PYTHON) {
        return Err(RuntimeError::Missing {
            what: format!("Python 3.10 or newer ({} is {version})", python.display()),
            fix: PYTHON_FIX,
        });
    }
    Ok(Interpreters { npm, python, python_minor: version })
}

/// What an interpreter answers.
pub(crate) async fn ask(spawner: &Spawner, installer: &Installer, program: &Path, args: &[&str]) -> Result<String, ToolError> {
    // A folder of its own, because ending what one question started must not end another's.
    let scratch = tempfile::tempdir().map_err(|source| ToolError::Start { program: program.to_owned(), source })?;
    let launch = args.iter().fold(installer.launch(program, Path::new("/"), scratch.path()), |launch, arg| launch.arg(arg));
    let answer = tools::run(spawner, launch, program, scratch.path(), QUESTION_TIMEOUT).await?.successful(program)?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

async fn install(spawner: &Spawner, installer: &Installer, found: &Interpreters, fresh: &Path) -> Result<(), RuntimeError> {
    for (name, content) in SOURCES {
        let path = fresh.join(name);
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(fresh))?;
            std::fs::write(&path, content)
        };
        write().map_err(|source| RuntimeError::Disk { what: "write the runners' sources", source })?;
    }
    // Caches and other leftovers of the installers go with this folder.
    let home = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(fresh.parent().unwrap_or(fresh));
    let home = home.map_err(|source| RuntimeError::Disk { what: "make a folder for the installers", source })?;
    let home = home.path();
    let step = async |what: &'static str, program: &Path, folder: &Path, args: &[&str]| {
        tracing::info!("installing {what}");
        let launch = args.iter().fold(installer.launch(program, folder, home), |launch, arg| launch.arg(arg));
        // Each is told apart by the folder in its environment, so that ending one leaves the other alone.
        let finished =
            tools::run(spawner, launch, program, folder, INSTALL_TIMEOUT).await.and_then(|finished| finished.successful(program));
        finished.map(drop).map_err(|error| RuntimeError::Install { what, why: error.to_string() })
    };
    let node = async {
        step(
            "the Node runner",
            &found.npm,
            &fresh.join("node"),
            &["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"],
        )
        .await
    };
    let python = async {
        let (tools, python) = (fresh.join("tools"), found.python.display().to_string());
        let tools_name = tools.display().to_string();
        step("a place for uv", &found.python, &fresh.join("python"), &["-I", "-m", "venv", &tools_name]).await?;
        let pip = ["-I", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", UV];
        step("uv", &tools.join("bin/python"), &tools, &pip).await?;
        let sync = ["sync", "--frozen", "--no-dev", "--no-build", "--compile-bytecode", "--quiet", "--python", &python];
        step("the Python runner", &tools.join("bin/uv"), &fresh.join("python"), &sync).await
    };
    tokio::try_join!(node, python).map(|((), ())| ())
}

/// Names these sources, so that another version of the program installs beside this one.
fn digest() -> String {
    let mut hash = Sha256::new();
    for (name, content) in SOURCES {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    hash.update(UV.as_bytes());
    hash.finalize().iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// Held as long as the file is open; the system lets go of it when the process dies.
fn lock_file(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_whole_and_nothing_else() {
        let has = |name: &str| SOURCES.iter().any(|(source, content)| *source == name && !content.is_empty());
        for name in ["node/src/main.mjs", "node/src/bundle.mjs", "node/package-lock.json", "python/uv.lock", "shared/state.js"] {
            assert!(has(name), "{name}");
        }
        assert!(has("python/src/keywright_runner/__main__.py"));
        let foreign = |name: &str| ["node_modules", ".venv", "__pycache__", "/test"].iter().any(|part| name.contains(part));
        assert!(SOURCES.iter().all(|(name, _)| !foreign(name) && !name.starts_with('/')));
        assert!(SOURCES.windows(2).all(|pair| pair[0].0 < pair[1].0), "the digest must not depend on the order of a folder");
    }
}
