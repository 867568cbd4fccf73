//! What a machine must have, and its installation where it is missing. Browsers are Debian's packages; nothing downloads one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::command::{cache, has, output, program, root, run};

/// Executables that the product or its tests start, and the Debian package that brings each.
const EXECUTABLES: [(&str, &str); 6] = [
    ("/usr/bin/chromium-headless-shell", "chromium-headless-shell"),
    ("/usr/bin/chromium", "chromium"),
    ("/usr/bin/bwrap", "bubblewrap"),
    ("/usr/bin/python3", "python3"),
    ("/usr/bin/strace", "strace"),
    ("/usr/sbin/pgbouncer", "pgbouncer"),
];

/// Where Debian keeps its PostgreSQL servers, by major version; the tests start one of their own.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// The version of nextest that the tests are run with where none is installed.
const NEXTEST: &str = "0.9.143";

/// The installer of Python packages, as the runner environments use it.
const UV: &str = "uv==0.13.9";

/// Installs the Debian packages that are missing.
pub(crate) fn install_packages() -> anyhow::Result<()> {
    let mut missing: Vec<&str> =
        EXECUTABLES.iter().filter(|(path, _)| !Path::new(path).exists()).map(|(_, package)| *package).collect();
    if !program("/usr/bin/python3").args(["-c", "import ensurepip"]).status().is_ok_and(|status| status.success()) {
        missing.push("python3-venv");
    }
    if !Path::new(POSTGRESQL).exists() {
        missing.push("postgresql");
    }
    if !has("node") {
        missing.push("nodejs");
    }
    if !has("npm") {
        missing.push("npm");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let is_root = output(program("id").arg("-u"))?.trim() == "0";
    let apt = |arguments: &[&str]| {
        let mut command = if is_root { program("apt-get") } else { program("sudo") };
        if !is_root {
            command.args(["-n", "apt-get"]);
        }
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let by_hand = format!("install them by hand: apt-get install {}", missing.join(" "));
    apt(&["update", "-qq"]).context(by_hand.clone())?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments).context(by_hand)
}

/// Builds the binary and installs the runner environments; returns the binary's path.
pub(crate) fn build(profile: Profile) -> anyhow::Result<PathBuf> {
    let arguments: &[&str] = match profile {
        Profile::Release => &["build", "--locked", "--release", "--package", "keywright"],
        Profile::Test => &["build", "--locked", "--package", "keywright", "--features", "keywright/failpoints"],
    };
    run(program("cargo").args(arguments))?;
    let folder = match profile {
        Profile::Release => "release",
        Profile::Test => "debug",
    };
    let binary = crate::command::target().join(folder).join("keywright");
    run(program(&binary).arg("setup").arg("--runtime-dir").arg(runtime_dir()))?;
    Ok(binary)
}

/// How the binary is built.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// As it is shipped.
    Release,
    /// With failpoints, for tests.
    Test,
}

/// Where the runner environments are installed, for the demo, the tests and the benchmarks alike.
pub(crate) fn runtime_dir() -> PathBuf {
    cache().join("runtime")
}

/// Installs nextest where there is none.
pub(crate) fn install_nextest() -> anyhow::Result<()> {
    if has("cargo-nextest") {
        return Ok(());
    }
    run(program("cargo").args(["install", "--locked", "cargo-nextest", "--version", NEXTEST]))
}

/// A Python environment outside the clone with exactly these packages, as `pip install` is told of them; returns its folder.
pub(crate) fn python_environment(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = cache().join("test-envs").join(name);
    let python = folder.join("bin/python");
    if !python.exists() {
        run(program("/usr/bin/python3").args(["-m", "venv"]).arg(&folder))?;
    }
    run(program(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    Ok(folder)
}

/// The Python runner's own locked environment, its test tools included; returns its interpreter.
pub(crate) fn python_runner() -> anyhow::Result<PathBuf> {
    let uv = python_environment("uv", &[UV])?.join("bin/uv");
    let folder = root().join("runners/python");
    run(program(uv)
        .args(["sync", "--frozen", "--quiet"])
        .env("UV_PYTHON", "/usr/bin/python3")
        .env("UV_PYTHON_DOWNLOADS", "never")
        .current_dir(&folder))?;
    Ok(folder.join(".venv/bin/python"))
}

/// `npm ci` in a folder of the repository, when its lock is newer than what is installed.
pub(crate) fn npm_ci(folder: &str) -> anyhow::Result<()> {
    let folder = root().join(folder);
    let installed = folder.join("node_modules/.package-lock.json");
    let changed_at = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if changed_at(&installed) >= changed_at(&folder.join("package-lock.json")) && installed.exists() {
        return Ok(());
    }
    if !folder.join("package-lock.json").exists() {
        bail!("{} has no package-lock.json", folder.display());
    }
    run(program("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))
}
