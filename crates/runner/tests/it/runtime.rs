//! The base environments, installed from the registries by the real installers, once for all tests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keywright_runner::{Installer, RuntimeError, RuntimePaths};

/// How packages are fetched where the tests run.
pub(crate) fn installer() -> Installer {
    #[expect(clippy::disallowed_methods, reason = "a test stands in for the binary, which reads the environment")]
    let variable = |name: &str| std::env::var(name).ok();
    let variables = Installer::VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), variable(name)?)));
    Installer { python: None, home: variable("HOME").map(PathBuf::from), variables: variables.collect() }
}

/// The environments that all tests share; they are installed by whoever comes first.
pub(crate) async fn runtime() -> RuntimePaths {
    RuntimePaths::ensure(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("runtime"), &installer()).await.unwrap()
}

#[tokio::test]
async fn two_servers_that_start_at_once_install_once_and_everybody_can_read_it() {
    let (first, second) = tokio::join!(runtime(), runtime());
    assert_eq!(first.root(), second.root());
    for file in [
        first.node_main(),
        first.node_bundler(),
        first.python(),
        first.uv(),
        first.shared().join("state.js"),
        first.node_modules().join("playwright-core/package.json"),
        first.python_source().join("keywright_runner/__main__.py"),
    ] {
        assert!(file.is_file(), "{}", file.display());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o044, 0o044, "{}", file.display());
    }
    let parent = first.root().parent().unwrap();
    let unfinished = std::fs::read_dir(parent)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".installing"));
    assert_eq!(unfinished.count(), 0);
}

#[tokio::test]
async fn a_machine_without_a_fitting_python_is_told_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let script = root.path().join("python3");
    std::fs::write(&script, "#!/bin/sh\necho 3.8\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (python, words) in [(script, "is 3.8"), (root.path().join("nothing"), "venv")] {
        let installer = Installer { python: Some(python), ..installer() };
        let error = RuntimePaths::ensure(root.path(), &installer).await.unwrap_err();
        assert!(matches!(error, RuntimeError::Missing { .. }));
        assert!(error.to_string().contains(words) && error.to_string().contains("Python 3.10 or newer"), "{error}");
    }
}
