//! The dependencies of a Node project, at exactly the versions it pins or locks, and its bundles.
//!
//! The import names that the runner serves itself are left out of what is installed, from `package.json` and from the lock
//! file alike. What remains is installed by npm in a copy of the project inside the sandbox: `npm ci` with a lock file, `npm
//! install` without one, never development dependencies. Install scripts run only where the sandbox keeps them away from
//! the machine. A project with nothing left shares the base environment.

use std::path::{Path, PathBuf};

use keywright_domain::{Language, Problem, parse_strict_json};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::project::line_in_words;
use super::workshop::{Workshop, is_network_trouble};
use super::{BuildFailure, BuildFault, blocking, disk};
use crate::manifest::{Manifest, OWN_FOLDER};
use crate::spawn::{Exit, find_tool};
use crate::tools::last_words;

/// The packages whose import names the runner serves, whatever a project lists.
const SERVED: [&str; 2] = ["@intuned/runtime", "@intuned/browser"];

/// The sections of a package file that are installed.
const INSTALLED: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];

/// Lock files of npm, in its own order of preference.
const LOCKS: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

/// Lock files of other installers, which npm does not read.
const FOREIGN_LOCKS: [&str; 4] = ["yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"];

/// Largest package or lock file.
const MAX_FILE_BYTES: usize = 32 * 1024 * 1024;

/// What is to be installed, by its files.
#[derive(Debug)]
struct Plan {
    package: Value,
    lock: Option<(&'static str, Value)>,
    left_out: Vec<String>,
}

/// Installs what a project needs beyond the base environment.
pub(super) async fn install(
    workshop: &Workshop<'_>,
    folder: &Path,
    warnings: &mut Vec<Problem>,
) -> Result<Manifest, BuildFailure> {
    let shared = Manifest { language: Language::Node, python: None, playwright_root: None, has_hook: false };
    let project = folder.to_owned();
    let Some(plan) = blocking(move || Plan::read(&project)).await? else { return Ok(shared) };
    let package_problem = |message: String| Problem { file: "package.json".to_owned(), line: None, message };
    if !plan.left_out.is_empty() {
        warnings
            .push(package_problem(format!("not installed, because Keywright serves them itself: {}", plan.left_out.join(", "))));
    }
    let base = base_playwright(workshop)?;
    if !plan.needs_installation(&base) {
        return Ok(shared);
    }
    if plan.lock.is_none() {
        warnings.extend(FOREIGN_LOCKS.iter().filter(|name| folder.join(name).is_file()).map(|name| Problem {
            file: (*name).to_owned(),
            line: None,
            message: "is not read; dependencies are installed by npm, as package.json says".to_owned(),
        }));
    }
    let work = workshop.folder("work")?;
    let command = if plan.lock.is_some() { "ci" } else { "install" };
    let (source, target, sandbox) = (folder.to_owned(), work.clone(), workshop.sandbox().clone());
    blocking(move || {
        let prepare = || {
            copy_tree(&source, &target)?;
            std::fs::write(target.join("package.json"), plan.package.to_string())?;
            if let Some((name, lock)) = &plan.lock {
                std::fs::write(target.join(name), lock.to_string())?;
            }
            give_tree(&sandbox, &target)
        };
        prepare().map_err(disk("copy the project"))
    })
    .await?;
    let npm = find_tool("npm").ok_or_else(|| BuildFault::Tool("find npm".to_owned()))?;
    let mut launch = workshop.tool(&npm, &work).arg(command).arg("--omit=dev").arg("--no-audit").arg("--no-fund");
    if command == "install" {
        launch = launch.arg("--no-package-lock");
    }
    if !workshop.may_run_scripts() {
        launch = launch.arg("--ignore-scripts");
        let message = "install scripts of packages are not run, because this machine has no sandbox for them".to_owned();
        warnings.push(package_problem(message));
    }
    let finished = workshop.run(launch, "npm", &[], &[]).await?;
    if finished.exit != Exit::Code(0) {
        let words = last_words(&finished.stderr);
        return Err(match is_network_trouble(&finished.stderr) {
            true => BuildFault::Tool(format!("install packages: {words}")).into(),
            false => package_problem(format!("npm {command} {}: {words}", finished.exit)).into(),
        });
    }
    let own = ["work/node_modules/playwright-core", "work/node_modules/playwright/node_modules/playwright-core"]
        .iter()
        .find_map(|package| workshop.read(&Path::new(package).join("package.json")))
        .and_then(|content| version_in(&content));
    let (installed, place) = (work.join("node_modules"), folder.join("node_modules"));
    let is_real = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    // An install script may have put a link in place of either. A project whose packages are all optional may have none.
    if is_real(&work) && is_real(&installed) {
        std::fs::rename(&installed, &place).map_err(disk("move the packages to the project"))?;
    } else if std::fs::symlink_metadata(&installed).is_ok() {
        return Err(package_problem("an install script put something else in the place of node_modules".to_owned()).into());
    }
    let playwright_root = own.filter(|own| *own != base).map(|_| PathBuf::from("."));
    Ok(Manifest { playwright_root, ..shared })
}

/// Bundles the entries of a project.
pub(super) async fn bundle(workshop: &Workshop<'_>, folder: &Path) -> Result<(), BuildFailure> {
    #[derive(Deserialize)]
    struct Bundled {
        problems: Vec<Problem>,
    }
    let own = folder.join(OWN_FOLDER);
    std::fs::create_dir_all(&own).map_err(disk("make the folder for the bundles"))?;
    workshop.sandbox().give(&own).map_err(disk("make the folder for the bundles"))?;
    let node = find_tool("node").ok_or_else(|| BuildFault::Tool("find Node.js".to_owned()))?;
    let launch = workshop.tool(&node, workshop.path()).arg(workshop.runtime().node_bundler()).arg(folder);
    let finished = workshop.run(launch, "the bundler", &[own], &[folder.to_owned()]).await?;
    let answer = finished.successful(Path::new("the bundler"))?;
    let bundled: Bundled =
        serde_json::from_slice(&answer).map_err(|error| BuildFault::Tool(format!("understand the bundler: {error}")))?;
    if bundled.problems.is_empty() { Ok(()) } else { Err(BuildFailure::Refused(bundled.problems)) }
}

impl Plan {
    /// Reads a project's package file and lock; nothing when it has none.
    fn read(folder: &Path) -> Result<Option<Self>, BuildFailure> {
        let Some(mut package) = read_object(folder, "package.json")? else { return Ok(None) };
        let lock = LOCKS.into_iter().find(|name| folder.join(name).is_file());
        let mut lock = match lock {
            Some(name) => read_object(folder, name)?.map(|lock| (name, lock)),
            None => None,
        };
        let mut left_out = prune(&mut package);
        if let Some((name, lock)) = &mut lock {
            prune_lock(lock).map_err(|message| Problem { file: (*name).to_owned(), line: None, message })?;
        }
        left_out.sort();
        left_out.dedup();
        Ok(Some(Self { package, lock, left_out }))
    }

    /// Whether something remains that the base environment does not have in the version asked for.
    fn needs_installation(&self, base_playwright: &str) -> bool {
        let mut asked = INSTALLED.iter().filter_map(|section| self.package.get(section)?.as_object()).flatten().peekable();
        if asked.peek().is_none() {
            return false;
        }
        !asked.all(|(name, range)| {
            let is_playwright = matches!(name.as_str(), "playwright" | "playwright-core");
            let locked = self.lock.as_ref().map(|(_, lock)| lock["packages"][format!("node_modules/{name}")]["version"].as_str());
            is_playwright
                && match locked {
                    Some(version) => version == Some(base_playwright),
                    None => range.as_str().is_some_and(|range| admits(range, base_playwright)),
                }
        })
    }
}

/// Takes the served packages out of a package file, or out of the root of a lock; which ones there were.
fn prune(package: &mut Value) -> Vec<String> {
    let mut left_out = Vec::new();
    for section in INSTALLED.iter().chain(&["devDependencies"]) {
        if let Some(section) = package.get_mut(section).and_then(Value::as_object_mut) {
            left_out.extend(SERVED.iter().filter(|name| section.remove(**name).is_some()).map(|name| (*name).to_owned()));
        }
    }
    left_out
}

/// Takes them out of a lock, with what is installed below them.
fn prune_lock(lock: &mut Value) -> Result<(), String> {
    let version = lock["lockfileVersion"].as_u64();
    let Some(packages) = lock.get_mut("packages").and_then(Value::as_object_mut) else {
        return Err(format!(
            "is of version {}, which cannot be read; run `npm install` with npm 7 or newer once",
            version.unwrap_or(1)
        ));
    };
    packages.retain(|path, _| {
        !SERVED.iter().any(|name| {
            let own = format!("node_modules/{name}");
            path == &own || path.starts_with(&format!("{own}/")) || path.ends_with(&format!("/{own}"))
        })
    });
    for package in packages.values_mut() {
        prune(package);
    }
    if let Some(Value::Object(old)) = lock.get_mut("dependencies") {
        old.retain(|name, _| !SERVED.contains(&name.as_str()));
    }
    Ok(())
}

/// Whether a range without a lock is content with the version that is there: the version itself, `~` and `^` from an
/// earlier one, and no wish at all. Any other range is left to npm.
fn admits(range: &str, version: &str) -> bool {
    let parts = |text: &str| -> Option<[u32; 3]> {
        let mut numbers = text.split('.').map(|part| part.parse().ok());
        Some([numbers.next()??, numbers.next()??, numbers.next()??])
    };
    let Some(have) = parts(version) else { return false };
    let range = range.trim();
    let asked = |prefix: char| range.strip_prefix(prefix).and_then(parts);
    if let Some(want) = asked('~') {
        return want[..2] == have[..2] && want <= have;
    }
    if let Some(want) = asked('^') {
        return want[0] == have[0] && want[0] > 0 && want <= have;
    }
    matches!(range, "" | "*" | "latest") || parts(range.trim_start_matches('=')) == Some(have)
}

fn read_object(folder: &Path, name: &str) -> Result<Option<Value>, BuildFailure> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let content = std::fs::read(&path).map_err(disk("read the package file"))?;
    let problem = |line: Option<u32>, message: String| Problem { file: name.to_owned(), line, message };
    if content.len() > MAX_FILE_BYTES {
        return Err(problem(None, "is larger than 32 MiB".to_owned()).into());
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    match parse_strict_json(content) {
        Ok(value) if value.is_object() => Ok(Some(value)),
        Ok(_) => Err(problem(Some(1), "is not an object".to_owned()).into()),
        Err(error) => {
            let words = error.to_string();
            Err(problem(line_in_words(&words), words).into())
        }
    }
}

fn base_playwright(workshop: &Workshop<'_>) -> Result<String, BuildFailure> {
    let package = workshop.runtime().node_modules().join("playwright-core/package.json");
    let content = std::fs::read(package).map_err(disk("find the runner's own Playwright"))?;
    version_in(&content).ok_or_else(|| BuildFault::Tool("read the version of the runner's own Playwright".to_owned()).into())
}

/// The version in the package file of an installed package.
fn version_in(content: &[u8]) -> Option<String> {
    let package: Map<String, Value> = serde_json::from_slice(content).ok()?;
    package.get("version")?.as_str().map(str::to_owned)
}

/// Copies a tree of files and folders; an unpacked project has nothing else.
pub(super) fn copy_tree(source: &Path, target: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(target)?;
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if entry.file_type()?.is_dir() { copy_tree(&from, &to)? } else { std::fs::copy(&from, &to).map(drop)? }
    }
    Ok(())
}

/// Gives a tree to the user inside the sandbox.
pub(super) fn give_tree(sandbox: &crate::sandbox::Sandbox, folder: &Path) -> std::io::Result<()> {
    sandbox.give(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { give_tree(sandbox, &entry.path())? } else { sandbox.give(&entry.path())? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn served_packages_leave_the_package_file_and_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let package =
            json!({"dependencies": {"@intuned/runtime": "1.3.38", "zod": "3.0.0"}, "devDependencies": {"@intuned/browser": "1"}});
        let lock = json!({"lockfileVersion": 3, "packages": {
            "": {"dependencies": {"@intuned/runtime": "1.3.38", "zod": "3.0.0"}},
            "node_modules/@intuned/runtime": {"version": "1.3.38"}, "node_modules/@intuned/runtime/node_modules/ws": {"version": "8.0.0"},
            "node_modules/zod": {"version": "3.0.0"}}});
        std::fs::write(folder.path().join("package.json"), package.to_string()).unwrap();
        std::fs::write(folder.path().join("package-lock.json"), lock.to_string()).unwrap();
        let plan = Plan::read(folder.path()).unwrap().unwrap();
        assert_eq!(plan.left_out, ["@intuned/browser", "@intuned/runtime"]);
        assert_eq!(plan.package, json!({"dependencies": {"zod": "3.0.0"}, "devDependencies": {}}));
        let packages = json!({"": {"dependencies": {"zod": "3.0.0"}}, "node_modules/zod": {"version": "3.0.0"}});
        assert_eq!(plan.lock.as_ref().unwrap().1["packages"], packages);
        assert!(plan.needs_installation("1.64.1"));
    }

    #[test]
    fn the_base_environment_serves_whoever_asks_for_no_other_version() {
        let plan = |package: Value, lock: Option<&str>| Plan {
            package,
            lock: lock
                .map(|version| ("package-lock.json", json!({"packages": {"node_modules/playwright": {"version": version}}}))),
            left_out: Vec::new(),
        };
        for (range, lock, needs) in [
            ("1.64.1", None, false),
            ("~1.64.0", None, false),
            ("^1.55.0", None, false),
            ("~1.61.1", None, true),
            ("1.64.0", None, true),
            (">=1.55", None, true),
            ("^1.55.0", Some("1.55.2"), true),
            ("^1.55.0", Some("1.64.1"), false),
            ("^2.0.0", None, true),
        ] {
            let package = json!({"dependencies": {"playwright": range}});
            assert_eq!(plan(package, lock).needs_installation("1.64.1"), needs, "{range} {lock:?}");
        }
        assert!(!plan(json!({"devDependencies": {"zod": "3.0.0"}}), None).needs_installation("1.64.1"));
        assert!(plan(json!({"dependencies": {"playwright": "1.64.1", "zod": "1"}}), None).needs_installation("1.64.1"));
    }

    #[test]
    fn a_broken_package_file_is_a_problem_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), "{\n  \"name\": \"x\"\n  \"version\": \"1\"\n}").unwrap();
        let Err(BuildFailure::Refused(problems)) = Plan::read(folder.path()) else { panic!() };
        assert_eq!((problems[0].file.as_str(), problems[0].line), ("package.json", Some(3)));
    }
}
