//! Every suite: the lints, Rust with its arrows, the example site, both runners, and the published client with the real
//! binary and real browsers. One that fails does not hide the others.

use anyhow::bail;

use crate::command::{program, root, run};
use crate::machine::{Profile, build, install_nextest, install_packages, npm_ci, python_environment, python_runner, runtime_dir};

/// Runs all suites, or only the Rust tests that `filter` selects.
pub(crate) fn test(filter: &[String]) -> anyhow::Result<()> {
    install_packages()?;
    install_nextest()?;
    npm_ci("runners/node")?;
    let binary = build(Profile::Test)?;
    if !filter.is_empty() {
        return rust(filter);
    }
    let mut failed = Vec::new();
    let mut suite = |name: &'static str, outcome: anyhow::Result<()>| {
        if let Err(error) = outcome {
            eprintln!("\n{name} failed: {error:#}");
            failed.push(name);
        }
    };
    let clippy =
        ["clippy", "--locked", "--workspace", "--all-targets", "--features", "keywright/failpoints", "--", "-D", "warnings"];
    suite("clippy", run(program("cargo").args(clippy)));
    suite("rust", rust(&[]));
    suite("planted bugs", planted_bugs());
    suite("examples/site", run(program("npm").arg("test").current_dir(root().join("examples/site"))));
    // The Node suite compares both runners, so the Python one is installed first.
    let python = python_runner();
    suite("runners/node", run(program("npm").arg("test").current_dir(root().join("runners/node"))));
    suite("runners/python", python.and_then(|python| pytest(python, "runners/python", &[])));
    let real = [("KEYWRIGHT_BINARY", binary.as_os_str()), ("KEYWRIGHT_TEST_RUNTIME_DIR", runtime_dir().as_os_str())]
        .map(|(name, value)| (name, value.to_owned()));
    let environment = python_environment("e2e", &["-r", "tests/e2e/requirements.txt"]);
    suite("tests/e2e", environment.and_then(|folder| pytest(folder.join("bin/python"), "tests/e2e", &real)));
    if !failed.is_empty() {
        bail!("these suites failed: {}", failed.join(", "));
    }
    Ok(())
}

fn rust(filter: &[String]) -> anyhow::Result<()> {
    let nextest = ["nextest", "run", "--locked", "--workspace", "--features", "keywright/failpoints"];
    run(program("cargo").args(nextest).args(filter).env("KEYWRIGHT_TEST_RUNTIME_DIR", runtime_dir()))
}

/// The simulation finds bugs that are planted, which needs a build that can have them.
fn planted_bugs() -> anyhow::Result<()> {
    let nextest =
        ["nextest", "run", "--locked", "--package", "keywright-engine", "--features", "planted-bugs", "--test", "simulation"];
    run(program("cargo").args(nextest).arg("planted"))
}

fn pytest(python: std::path::PathBuf, folder: &str, variables: &[(&str, std::ffi::OsString)]) -> anyhow::Result<()> {
    let mut command = program(python);
    command.args(["-m", "pytest"]).current_dir(root().join(folder));
    run(command.envs(variables.iter().map(|(name, value)| (name, value))))
}
