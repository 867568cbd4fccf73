//! The machine: data folder and its disk, browser, runners, sandbox.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keywright_domain::with_causes;
use keywright_runner::{BrowserConfig, PoolConfig, RuntimePaths, SandboxPolicy, check_up};

use super::Line;
use crate::config::Config;

/// With less room than this, writes are soon refused.
const MIN_FREE_BYTES: u64 = 256 * 1024 * 1024;

/// With less room than this, a few traces and a deployment fill the disk.
const COMFORTABLE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// File systems over a network, by the number that the kernel gives them: their locks and their flushing cannot be trusted.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 5] =
    [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB"), (0x517b, "SMB"), (0x0102_1997, "9P")];

/// Looks at the machine.
pub(super) async fn look(config: &Config) -> Vec<Line> {
    let mut lines = vec![data_folder(&config.data_dir)];
    lines.extend(disk(&config.data_dir));
    if config.roles.is_worker() {
        lines.push(browser(config));
        match RuntimePaths::find(&config.runtime_dir, &crate::config::installer()).await {
            Ok(Some(runtime)) => {
                lines.push(Line::ok("runners", format!("installed in {}", runtime.root().display())));
                lines.extend(trial(config, runtime).await);
            }
            Ok(None) => lines.push(Line::warn(
                "runners",
                "not installed yet; the first start does it, which takes a minute and needs the registries, or `keywright setup`",
            )),
            Err(error) => lines.push(Line::fail("runners", format!("cannot be installed: failed to {}", with_causes(&error)))),
        }
    }
    lines
}

fn data_folder(folder: &Path) -> Line {
    const WHAT: &str = "data folder";
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Line::warn(WHAT, format!("{} is not there yet; the first start makes it", folder.display()));
        }
        Err(error) => return Line::fail(WHAT, format!("{} cannot be used: {error}", folder.display())),
    };
    if !metadata.is_dir() {
        return Line::fail(WHAT, format!("{} is not a folder", folder.display()));
    }
    let us = rustix::process::geteuid();
    if metadata.uid() != us.as_raw() && !us.is_root() {
        return Line::fail(WHAT, format!("{} belongs to another user; ask as the server's own", folder.display()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Line::warn(WHAT, format!("others can look into {}; the next start closes it", folder.display()));
    }
    Line::ok(WHAT, format!("{} is ours alone", folder.display()))
}

/// The disk of the data folder, or of what it will be made in.
fn disk(folder: &Path) -> Vec<Line> {
    const WHAT: &str = "disk";
    let Some(there) = folder.ancestors().find(|path| path.is_dir()) else {
        return vec![Line::fail(WHAT, "there is no such place")];
    };
    let (Ok(room), Ok(kind)) = (rustix::fs::statvfs(there), rustix::fs::statfs(there)) else {
        return vec![Line::fail(WHAT, format!("{} cannot be asked", there.display()))];
    };
    let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
    let free = format!("{} MiB free", free_bytes / (1024 * 1024));
    let mut lines = vec![match free_bytes {
        0..MIN_FREE_BYTES => Line::fail(WHAT, format!("{free}; make room before writes are refused")),
        MIN_FREE_BYTES..COMFORTABLE_BYTES => Line::warn(WHAT, format!("{free}; traces and deployments soon fill that")),
        COMFORTABLE_BYTES.. => Line::ok(WHAT, free),
    }];
    // The kernel's numbers have 32 bits, whatever the type that they come in.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers have 32 bits")]
    let number = kind.f_type as u32;
    if let Some((_, name)) = NETWORK_FILE_SYSTEMS.iter().find(|(known, _)| *known == number) {
        let text = format!("{} is on {name}; SQLite and locks need a disk of this machine, or use PostgreSQL", there.display());
        lines.push(Line::fail("file system", text));
    }
    lines
}

fn browser(config: &Config) -> Line {
    match config.require_browser() {
        Ok(()) => Line::ok("browser", program(config).display().to_string()),
        Err(error) => Line::fail("browser", error.to_string()),
    }
}

fn program(config: &Config) -> &Path {
    match config.browser {
        keywright_domain::BrowserChoice::HeadlessShell => &config.headless_shell_path,
        keywright_domain::BrowserChoice::Chromium => &config.chromium_path,
    }
}

/// Starts what an attempt would start.
async fn trial(config: &Config, runtime: RuntimePaths) -> Vec<Line> {
    const WHAT: &str = "browser start";
    let folder = match TrialFolder::make(&config.data_dir) {
        Ok(folder) => folder,
        Err(error) => return vec![Line::fail(WHAT, format!("there is no folder to try it in: {error}"))],
    };
    let pool = PoolConfig {
        runtime,
        deployments: folder.0.join("deployments"),
        slots: folder.0.join("slots"),
        traces: folder.0.join("traces"),
        concurrency: 1,
        browser: BrowserConfig {
            headless_shell: config.headless_shell_path.clone(),
            chromium: config.chromium_path.clone(),
            args: config.browser_args.clone(),
            ignore_https_errors: config.ignore_https_errors,
        },
        sandbox: SandboxPolicy::WhereAllowed,
    };
    let checkup = match check_up(pool, config.browser).await {
        Ok(checkup) => checkup,
        Err(error) => return vec![Line::fail(WHAT, format!("failed to {}", with_causes(&error)))],
    };
    let mut lines: Vec<Line> = checkup
        .trials
        .into_iter()
        .map(|trial| {
            let runner = trial.language.as_str();
            match trial.failure {
                None => Line::ok(WHAT, format!("a {runner} runner and its browser started in {} ms", trial.took.as_millis())),
                Some(why) => Line::fail(WHAT, format!("a {runner} runner and its browser did not start: {why}")),
            }
        })
        .collect();
    let protections = checkup.protections;
    lines.extend(protections.in_force.into_iter().map(|line| Line::ok("sandbox", line)));
    let missing = |line: String| match config.require_sandbox {
        true => Line::fail("sandbox", format!("NOT protected: {line}")),
        false => Line::warn("sandbox", format!("NOT protected: {line}")),
    };
    lines.extend(protections.missing.into_iter().map(missing));
    lines
}

/// A private folder that is gone when this is dropped; a name of its own, so that a running server's folders are left alone.
struct TrialFolder(PathBuf);

impl TrialFolder {
    fn make(data_dir: &Path) -> std::io::Result<Self> {
        // Beside the data folder's own: on its disk, and under its protection.
        let folder = data_dir.join(format!("doctor-{}", std::process::id()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for TrialFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("keywright: {} is left: {error}", self.0.display());
        }
    }
}
