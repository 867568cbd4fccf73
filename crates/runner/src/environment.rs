//! Which runner serves a deployment, how it is started, and what it has to be able to read.
//!
//! A warm slot belongs to an environment: an interpreter and the packages that it can import. Deployments that bring none of
//! their own share the base environment of their language. Refuses to hand down anything of the server's own environment.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use keywright_domain::{BrowserChoice, DeploymentId, Language};

use crate::manifest::Manifest;
use crate::runtime::RuntimePaths;
use crate::spawn::{Launch, TOOL_FOLDERS, find_tool};
use crate::tree::SLOT_VARIABLE;

/// Most links followed from an interpreter's name to the interpreter; the kernel's own bound.
const MAX_LINKS: usize = 40;

/// What a warm slot must have in common with an attempt to serve it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotKind {
    pub(crate) language: Language,
    /// The deployment whose own packages it can import; none for the base environment.
    pub(crate) own: Option<DeploymentId>,
    pub(crate) browser: BrowserChoice,
    /// Whether the browser listens on a debugging port. Slots share the loopback network, so whoever finds such a port has
    /// the browser; only projects that ask for one, by a setup hook, get it.
    pub(crate) has_debugging_port: bool,
}

impl SlotKind {
    /// The base environment of a language.
    pub(crate) const fn base(language: Language) -> Self {
        Self { language, own: None, browser: BrowserChoice::HeadlessShell, has_debugging_port: false }
    }

    /// What a deployment needs.
    pub(crate) fn of(deployment: &DeploymentId, manifest: &Manifest, browser: BrowserChoice) -> Self {
        let has_own = manifest.python.is_some() || manifest.playwright_root.is_some();
        Self {
            language: manifest.language,
            own: has_own.then(|| deployment.clone()),
            browser,
            has_debugging_port: manifest.has_hook,
        }
    }
}

/// A runner's launch, without sandbox, and what it reads.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) launch: Launch,
    /// Folders that must be readable inside, beside the system's.
    pub(crate) readable: Vec<PathBuf>,
}

/// How to start the runner of `language` for a deployment whose folder and manifest are given when it has an environment of
/// its own. `socket` is relative to `slot`, so that its length does not depend on where the data is.
pub(crate) fn runner(
    runtime: &RuntimePaths,
    language: Language,
    own: Option<(&Path, &Manifest)>,
    slot: &Path,
    socket: &str,
) -> io::Result<Environment> {
    let node = find_tool("node").ok_or_else(|| io::Error::other("node is not installed in the system's folders"))?;
    let mut readable = vec![runtime.root().canonicalize()?];
    let mut launch = match language {
        Language::Node => {
            let launch = Launch::new(node.clone(), slot).arg(runtime.node_main());
            match own.and_then(|(folder, manifest)| Some(folder.join(manifest.playwright_root.as_ref()?))) {
                Some(root) => launch.var("KEYWRIGHT_PLAYWRIGHT_ROOT", root),
                None => launch,
            }
        }
        Language::Python => {
            let own_python = own.and_then(|(folder, manifest)| Some(folder.join(manifest.python.as_ref()?)));
            let python = own_python.clone().unwrap_or_else(|| runtime.python());
            readable.extend(installations(&python)?);
            let launch = Launch::new(python, slot).arg("-m").arg("keywright_runner").var("PYTHONPATH", runtime.python_source());
            match own_python {
                Some(_) => launch.var("KEYWRIGHT_BASE_SITE", site_packages(&runtime.python())?),
                None => launch,
            }
        }
    };
    launch = launch.arg(format!("./{socket}"));
    for (name, value) in basics(slot) {
        launch = launch.var(name, value);
    }
    launch = launch
        .var("KEYWRIGHT_SHARED", runtime.shared())
        .var("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
        .var("PLAYWRIGHT_NODEJS_PATH", node)
        .var("PYTHONUNBUFFERED", "1");
    Ok(Environment { launch, readable })
}

/// The variables of every process that lives in a slot's folder.
fn basics(slot: &Path) -> [(&'static str, OsString); 5] {
    [
        (SLOT_VARIABLE, slot.into()),
        ("HOME", slot.into()),
        ("TMPDIR", slot.into()),
        ("PATH", TOOL_FOLDERS.join(":").into()),
        ("LANG", "C.UTF-8".into()),
    ]
}

/// The folders that hold an interpreter, when it is not the system's: an environment's `bin/python` is a link, often through
/// several folders, into an installation somewhere else.
pub(crate) fn installations(python: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut at = python.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&at) {
            Ok(target) => at = at.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(found),
        }
        let resolved = at.canonicalize()?;
        for place in [&at, &resolved] {
            // <installation>/bin/python
            if let Some(installation) = place.parent().and_then(Path::parent)
                && installation != Path::new("/")
                && !installation.starts_with("/usr")
                && !installation.components().any(|part| part == std::path::Component::ParentDir)
                && !found.contains(&installation.to_owned())
            {
                found.push(installation.to_owned());
            }
        }
    }
    Err(io::Error::other(format!("{} is a link to a link without end", python.display())))
}

/// The folder of an environment's packages.
fn site_packages(python: &Path) -> io::Result<PathBuf> {
    let lib = python.parent().and_then(Path::parent).unwrap_or(Path::new("/")).join("lib");
    std::fs::read_dir(&lib)?
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
        .find(|path| path.is_dir())
        .ok_or_else(|| io::Error::other(format!("{} has no site-packages", lib.display())))
}

/// The folder of a program that is not among the system's, so that it can be shown to a sandbox.
pub(crate) fn folder_of_program(program: &Path) -> Option<PathBuf> {
    let folder = program.canonicalize().ok()?.parent()?.to_owned();
    let is_system = ["/usr", "/bin", "/sbin"].iter().any(|system| folder.starts_with(system));
    (!is_system).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn deployments_share_the_base_unless_they_bring_something() {
        let id = DeploymentId::from_entropy([1; 21]);
        let base = Manifest { language: Language::Python, python: None, playwright_root: None, has_hook: false };
        assert_eq!(SlotKind::of(&id, &base, BrowserChoice::HeadlessShell), SlotKind::base(Language::Python));
        let own = Manifest { python: Some(".keywright/venv/bin/python".into()), ..base };
        assert_eq!(SlotKind::of(&id, &own, BrowserChoice::HeadlessShell).own, Some(id));
    }

    #[test]
    fn an_interpreter_is_found_through_links_of_folders_and_files() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        std::fs::create_dir_all(place.join("cpython-3.12.1/bin")).unwrap();
        std::fs::create_dir_all(place.join("venv/bin")).unwrap();
        std::fs::write(place.join("cpython-3.12.1/bin/python3.12"), "").unwrap();
        symlink("cpython-3.12.1", place.join("cpython-3.12")).unwrap();
        symlink(place.join("cpython-3.12/bin/python3.12"), place.join("venv/bin/python")).unwrap();
        let found = installations(&place.join("venv/bin/python")).unwrap();
        assert_eq!(found, [place.join("cpython-3.12"), place.join("cpython-3.12.1")]);
        symlink("loop", place.join("loop")).unwrap();
        assert!(installations(&place.join("loop")).is_err());
    }

    #[test]
    fn a_runner_gets_its_own_environment_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let runtime = RuntimePaths::at(root.path());
        let environment = runner(&runtime, Language::Node, None, Path::new("/slots/s1"), "link").unwrap();
        let names: Vec<String> = environment.launch.env.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert_eq!(
            names,
            [
                "KEYWRIGHT_SLOT_DIR",
                "HOME",
                "TMPDIR",
                "PATH",
                "LANG",
                "KEYWRIGHT_SHARED",
                "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD",
                "PLAYWRIGHT_NODEJS_PATH",
                "PYTHONUNBUFFERED"
            ]
        );
    }
}
