//! Every suite, in the order in which a failure says most: the arrows and the tidy rules, Rust, the example site, both
//! runners, and the published client against the real server.

use std::path::Path;

use crate::command::{program, root, run};
use crate::machine::{Profile, build, install_nextest, install_packages, npm_ci, python_environment, python_runner, runtime_dir};

/// Runs all suites, or only the Rust tests that `filter` selects.
pub(crate) fn test(filter: &[String]) -> anyhow::Result<()> {
    install_packages()?;
    install_nextest()?;
    npm_ci("runners/node")?;
    let binary = build(Profile::Test)?;

    if filter.is_empty() {
        let clippy =
            ["clippy", "--locked", "--workspace", "--all-targets", "--features", "keywright/failpoints", "--", "-D", "warnings"];
        run(program("cargo").args(clippy))?;
    }
    let nextest = ["nextest", "run", "--locked", "--workspace", "--features", "keywright/failpoints"];
    run(program("cargo").args(nextest).args(filter).env("KEYWRIGHT_TEST_RUNTIME_DIR", runtime_dir()))?;
    if !filter.is_empty() {
        return Ok(());
    }

    run(program("npm").arg("test").current_dir(root().join("examples/site")))?;
    run(program("npm").arg("test").current_dir(root().join("runners/node")))?;
    run(program(python_runner()?).args(["-m", "pytest"]).current_dir(root().join("runners/python")))?;
    end_to_end(&binary)
}

/// The published Python client against the real server, the real site and real browsers.
fn end_to_end(binary: &Path) -> anyhow::Result<()> {
    let folder = root().join("tests/e2e");
    let environment = python_environment("e2e", &["-r", "tests/e2e/requirements.txt"])?;
    run(program(environment.join("bin/python"))
        .args(["-m", "pytest", "-q"])
        .env("KEYWRIGHT_BINARY", binary)
        .env("KEYWRIGHT_TEST_RUNTIME_DIR", runtime_dir())
        .current_dir(folder))
}
