//! The dependencies of a Python project, at exactly the versions it pins or locks.
//!
//! The distributions whose import names the runner serves itself are left out of what is installed. When the base environment
//! has all that remains, in versions the project allows and on a Python it allows, the project shares it; otherwise it gets
//! an environment of its own, made by uv inside the sandbox: from `uv.lock` when there is one, as it stands there, else from
//! `pyproject.toml`. On another minor version of Python that environment also gets what the runner itself stands on. Build
//! back ends of packages run only where the sandbox keeps them away from the machine. Interpreters are never downloaded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures::future::join_all;
use keywright_domain::{Language, Problem};
use serde::Deserialize;
use toml::{Table, Value};

use super::node::{copy_tree, give_tree};
use super::python_version::{Requirement, Version};
use super::workshop::{Workshop, is_network_trouble};
use super::{BuildFailure, BuildFault, blocking, disk, line_at, line_with};
use crate::environment::installations;
use crate::manifest::{Manifest, OWN_FOLDER};
use crate::runtime::ask;
use crate::spawn::{Exit, TOOL_FOLDERS};
use crate::tools::{Finished, last_words};

/// The distributions whose import names the runner serves, whatever a project lists, in their normal form.
const SERVED: [&str; 3] = ["intuned-runtime", "intuned-browser", "intuned-sdk"];

const PYPROJECT: &str = "pyproject.toml";
const LOCK: &str = "uv.lock";

/// Where a project's own environment is, in its folder.
const VENV: &str = "venv";

/// The runner needs this; older interpreters are not considered.
const MIN_VERSION: Version = Version([3, 10, 0]);

/// Most interpreters that are asked for their version.
const MAX_INTERPRETERS: usize = 40;

/// Most bytes of a package or lock file.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// What a project asks for.
#[derive(Debug, Default)]
struct Wishes {
    /// The package file without what the runner serves.
    document: Table,
    requires_python: Option<(String, Requirement)>,
    requires_line: Option<u32>,
    has_dependencies: bool,
    left_out: Vec<String>,
    has_lock: bool,
}

/// An interpreter of this machine.
#[derive(Clone, Debug)]
struct Interpreter {
    path: PathBuf,
    version: Version,
    kinship: Kinship,
}

/// What an interpreter is to the base environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinship {
    /// The base environment's own.
    Base,
    /// Another one of its minor version, which can import what it has: compiled packages belong to one minor version.
    SameMinor,
    /// One of another minor version.
    Foreign,
}

impl Interpreter {
    fn is_base(&self) -> bool {
        self.kinship == Kinship::Base
    }
}

/// A package as uv lists it.
#[derive(Deserialize)]
struct Installed {
    name: String,
}

/// Installs what a project needs beyond the base environment.
pub(super) async fn install(
    workshop: &Workshop<'_>,
    folder: &Path,
    relax_python: bool,
    warnings: &mut Vec<Problem>,
) -> Result<Manifest, BuildFailure> {
    let shared = Manifest { language: Language::Python, python: None, playwright_root: None, has_hook: false };
    let project = folder.to_owned();
    let wishes = blocking(move || Wishes::read(&project)).await?;
    if !wishes.left_out.is_empty() {
        let message = format!("not installed, because Keywright serves them itself: {}", wishes.left_out.join(", "));
        warnings.push(problem(None, message));
    }
    let (interpreter, is_relaxed) = choose(workshop, &wishes, relax_python, warnings).await?;
    if !wishes.has_dependencies && !wishes.has_lock && interpreter.is_base() {
        return Ok(shared);
    }
    let work = prepare(workshop, folder, &wishes, is_relaxed).await?;
    let list = if wishes.has_lock { export(workshop, &work, &interpreter).await? } else { work.join(PYPROJECT) };
    if interpreter.is_base() && is_satisfied(workshop, &work, &list, wishes.has_lock).await? {
        return Ok(shared);
    }
    let own = folder.join(OWN_FOLDER);
    std::fs::create_dir_all(&own).map_err(disk("make the folder for the packages"))?;
    workshop.sandbox().give(&own).map_err(disk("make the folder for the packages"))?;
    let readable = [installations(&interpreter.path).map_err(disk("find the interpreter"))?, vec![folder.to_owned()]].concat();
    let venv = own.join(VENV);
    let make = workshop.tool(&workshop.runtime().uv(), &work).arg("venv").arg("--python").arg(&interpreter.path).arg(&venv);
    let made = workshop.run(make, "uv", std::slice::from_ref(&own), &readable).await?;
    made.successful(Path::new("uv venv"))?;
    let mut fill = workshop.tool(&workshop.runtime().uv(), &work).arg("pip");
    fill = if wishes.has_lock { fill.arg("sync").arg(&list) } else { fill.arg("install").arg("-r").arg(&list) };
    fill = fill.arg("--python").arg(venv.join("bin/python")).arg("--compile-bytecode");
    if wishes.has_lock {
        // A lock may have nothing left in it.
        fill = fill.arg("--allow-empty-requirements");
    }
    if !workshop.may_run_scripts() {
        fill = fill.arg("--no-build");
        let message = "packages without a wheel cannot be built, because this machine has no sandbox for it".to_owned();
        warnings.push(problem(None, message));
    }
    let filled = workshop.run(fill, "uv", std::slice::from_ref(&own), &readable).await?;
    refused_unless_well(filled)?;
    if interpreter.kinship == Kinship::Foreign {
        complete(workshop, &work, &venv.join("bin/python"), &own, &readable).await?;
    }
    // Runners are shown whatever this link leads to, and building a package may have changed it.
    let real = |path: &Path| path.canonicalize().ok();
    let is_ours = real(&venv.join("bin")) == real(&own).map(|own| own.join(VENV).join("bin"));
    if !is_ours || real(&venv.join("bin/python")) != real(&interpreter.path) {
        return Err(problem(None, "a package changed the interpreter while it was built".to_owned()).into());
    }
    let python = PathBuf::from(OWN_FOLDER).join(VENV).join("bin/python");
    Ok(Manifest { python: Some(python), ..shared })
}

impl Wishes {
    fn read(folder: &Path) -> Result<Self, BuildFailure> {
        let Some(text) = read_text(folder, PYPROJECT)? else { return Ok(Self::default()) };
        let mut document: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().and_then(|span| line_at(&text, span.start));
            problem(line, format!("cannot be read: {}", error.message()))
        })?;
        let mut wishes = Self { has_lock: read_text(folder, LOCK)?.is_some(), ..Self::default() };
        if let Some(Value::Table(project)) = document.get_mut("project") {
            if let Some(requires) = project.get("requires-python") {
                wishes.requires_line = line_with(&text, &["requires-python"]);
                let understood = requires.as_str().and_then(|text| Some((text.to_owned(), Requirement::parse(text)?)));
                let Some(understood) = understood else {
                    return Err(problem(
                        wishes.requires_line,
                        "`requires-python` is not a list of version specifiers".to_owned(),
                    )
                    .into());
                };
                wishes.requires_python = Some(understood);
            }
            if let Some(Value::Array(dependencies)) = project.get_mut("dependencies") {
                dependencies.retain(|dependency| {
                    let name = dependency.as_str().map(distribution).unwrap_or_default();
                    let is_served = SERVED.contains(&name.as_str());
                    if is_served {
                        wishes.left_out.push(name);
                    }
                    !is_served
                });
                wishes.has_dependencies = !dependencies.is_empty();
            }
        }
        wishes.document = document;
        Ok(wishes)
    }
}

/// Chooses the interpreter: the base environment's when the project allows it, else the newest that it allows, else the
/// nearest when that may be.
async fn choose(
    workshop: &Workshop<'_>,
    wishes: &Wishes,
    relax_python: bool,
    warnings: &mut Vec<Problem>,
) -> Result<(Interpreter, bool), BuildFailure> {
    let path = workshop.runtime().python();
    let base = version_of(workshop, &path).await.map(|version| Interpreter { path, version, kinship: Kinship::Base });
    let base = base.ok_or_else(|| BuildFault::Tool("ask the base environment's Python for its version".to_owned()))?;
    let Some((text, requirement)) = &wishes.requires_python else { return Ok((base, false)) };
    if requirement.allows(base.version) {
        return Ok((base, false));
    }
    let found = interpreters(workshop, &base).await;
    let fitting =
        found.iter().filter(|interpreter| requirement.allows(interpreter.version)).max_by_key(|interpreter| interpreter.version);
    if let Some(fitting) = fitting {
        return Ok((fitting.clone(), false));
    }
    let versions: BTreeSet<String> = found.iter().map(|interpreter| interpreter.version.to_string()).collect();
    let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
    if !relax_python {
        let message = format!(
            "the project requires Python {text}, and this machine has {versions}; install one that fits (uv python install, pyenv), \
             or deploy with --relax-python"
        );
        return Err(problem(wishes.requires_line, message).into());
    }
    let anchor = requirement.anchor();
    let distance = |version: Version| (version.0[0].abs_diff(anchor.0[0]), version.0[1].abs_diff(anchor.0[1]));
    // Of two that are equally near the base environment's comes first: it is known to work.
    let nearest =
        found.iter().min_by_key(|interpreter| (distance(interpreter.version), !interpreter.is_base())).unwrap_or(&base).clone();
    let message = format!("the project requires Python {text}; it runs on {} because this machine has no other", nearest.version);
    warnings.push(problem(wishes.requires_line, message));
    Ok((nearest, true))
}

/// Adds to an environment on another minor version what the runner itself stands on and the project does not bring, as the
/// runner's own lock says for that version. What the project brings is never changed for it.
async fn complete(
    workshop: &Workshop<'_>,
    work: &Path,
    python: &Path,
    own: &Path,
    readable: &[PathBuf],
) -> Result<(), BuildFailure> {
    let uv = workshop.runtime().uv();
    let list = workshop.tool(&uv, work).arg("pip").arg("list").arg("--format").arg("json").arg("--python").arg(python);
    let listed = workshop.run(list, "uv", &[], readable).await?.successful(Path::new("uv pip list"))?;
    let there: Vec<Installed> =
        serde_json::from_slice(&listed).map_err(|error| BuildFault::Tool(format!("understand uv: {error}")))?;
    let mut export = workshop.tool(&uv, work).arg("export").arg("--project").arg(workshop.runtime().python_project());
    for arg in ["--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "--no-hashes", "--quiet", "--python"]
    {
        export = export.arg(arg);
    }
    let exported = workshop.run(export.arg(python), "uv", &[], readable).await?.successful(Path::new("uv export"))?;
    let exported = String::from_utf8_lossy(&exported).into_owned();
    let is_there = |line: &str| there.iter().any(|package| distribution(&package.name) == distribution(line));
    let missing = exported.lines().filter(|line| !line.trim().is_empty() && !is_there(line));
    let wanted = missing.map(|line| format!("{line}\n")).collect::<String>();
    let file = workshop.write("runner-requirements.txt", &wanted)?;
    let mut install = workshop.tool(&uv, work).arg("pip").arg("install").arg("--python").arg(python).arg("-r").arg(&file);
    for arg in ["--no-deps", "--no-build", "--compile-bytecode"] {
        install = install.arg(arg);
    }
    refused_unless_well(workshop.run(install, "uv", &[own.to_owned()], readable).await?)
}

/// The machine's interpreters that a runner could run on.
async fn interpreters(workshop: &Workshop<'_>, base: &Interpreter) -> Vec<Interpreter> {
    let names = std::iter::once("python3".to_owned()).chain((10..=19).map(|minor| format!("python3.{minor}")));
    let system = TOOL_FOLDERS.iter().flat_map(|folder| names.clone().map(move |name| Path::new(folder).join(name)));
    let mut candidates: Vec<PathBuf> = system.filter(|path| path.is_file()).collect();
    for kept in workshop
        .installer()
        .home
        .iter()
        .flat_map(|home| [".pyenv/versions", ".local/share/uv/python"].map(|kept| home.join(kept)))
    {
        let Ok(entries) = std::fs::read_dir(kept) else { continue };
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path().join("bin/python3")).filter(|path| path.is_file()).collect();
        found.sort();
        candidates.extend(found);
    }
    let mut seen = BTreeSet::new();
    candidates.retain(|path| path.canonicalize().is_ok_and(|real| seen.insert(real)));
    candidates.truncate(MAX_INTERPRETERS);
    let asked = join_all(candidates.into_iter().map(async |path| {
        let version = version_of(workshop, &path).await?;
        let is_same = version.0[..2] == base.version.0[..2];
        Some(Interpreter { path, version, kinship: if is_same { Kinship::SameMinor } else { Kinship::Foreign } })
    }));
    let found = asked.await.into_iter().flatten().filter(|interpreter| interpreter.version >= MIN_VERSION);
    std::iter::once(base.clone()).chain(found).collect()
}

async fn version_of(workshop: &Workshop<'_>, python: &Path) -> Option<Version> {
    let question = ["-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"];
    Version::parse(&ask(workshop.spawner(), workshop.installer(), python, &question).await.ok()?)
}

/// Copies the project to where uv may look at it, with the package file as it is to be read.
async fn prepare(workshop: &Workshop<'_>, folder: &Path, wishes: &Wishes, is_relaxed: bool) -> Result<PathBuf, BuildFailure> {
    let work = workshop.folder("work")?;
    let mut document = wishes.document.clone();
    let any_python = format!(">={}.{}", MIN_VERSION.0[0], MIN_VERSION.0[1]);
    if is_relaxed && let Some(Value::Table(project)) = document.get_mut("project") {
        project.insert("requires-python".to_owned(), Value::String(any_python.clone()));
    }
    let (source, target, sandbox, has_lock) = (folder.to_owned(), work.clone(), workshop.sandbox().clone(), wishes.has_lock);
    blocking(move || {
        let prepare = || {
            copy_tree(&source, &target)?;
            // A lock is read together with the whole package file; what is served is pruned from it by name.
            if !has_lock || is_relaxed {
                std::fs::write(target.join(PYPROJECT), document.to_string())?;
            }
            if has_lock && is_relaxed {
                relax_lock(&target.join(LOCK), &any_python)?;
            }
            give_tree(&sandbox, &target)
        };
        prepare().map_err(disk("copy the project"))
    })
    .await?;
    Ok(work)
}

/// Lets a lock be read on any Python; what is locked stays as it is.
fn relax_lock(path: &Path, any_python: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let relaxed = text.lines().map(|line| match line.starts_with("requires-python") {
        true => format!("requires-python = \"{any_python}\"\n"),
        false => format!("{line}\n"),
    });
    std::fs::write(path, relaxed.collect::<String>())
}

/// Writes what is locked, without what is served and what only it needs, as a list of exact versions and hashes.
async fn export(workshop: &Workshop<'_>, work: &Path, interpreter: &Interpreter) -> Result<PathBuf, BuildFailure> {
    let list = work.join(".keywright-requirements.txt");
    let mut launch =
        workshop.tool(&workshop.runtime().uv(), work).arg("export").arg("--frozen").arg("--no-dev").arg("--no-emit-project");
    launch = launch.arg("--no-header").arg("--quiet").arg("--python").arg(&interpreter.path).arg("--output-file").arg(&list);
    for name in SERVED {
        launch = launch.arg("--prune").arg(name);
    }
    let readable = installations(&interpreter.path).map_err(disk("find the interpreter"))?;
    let exported = workshop.run(launch, "uv", &[], &readable).await?;
    match exported.exit {
        Exit::Code(0) => Ok(list),
        Exit::Code(_) | Exit::Signal(_) | Exit::Unknown => {
            let message = format!("uv cannot read it: {}", last_words(&exported.stderr));
            Err(Problem { file: LOCK.to_owned(), line: None, message }.into())
        }
    }
}

/// Whether the base environment already has everything in a list.
async fn is_satisfied(workshop: &Workshop<'_>, work: &Path, list: &Path, is_locked: bool) -> Result<bool, BuildFailure> {
    let mut launch = workshop.tool(&workshop.runtime().uv(), work).arg("pip").arg("install").arg("--dry-run").arg("--offline");
    launch = launch.arg("--python").arg(workshop.runtime().python()).arg("-r").arg(list);
    if is_locked {
        // What is locked names all there is; hashes are of files that were installed long ago.
        launch = launch.arg("--no-deps").arg("--no-verify-hashes");
    }
    let readable = installations(&workshop.runtime().python()).map_err(disk("find the interpreter"))?;
    let answer = workshop.run(launch, "uv", &[], &readable).await?;
    let changes_nothing = answer.stderr.contains("Would make no changes") || answer.stderr.contains("contains no dependencies");
    Ok(answer.exit == Exit::Code(0) && changes_nothing)
}

/// A failed installation is the project's problem unless the registry could not be reached.
fn refused_unless_well(finished: Finished) -> Result<(), BuildFailure> {
    let words = last_words(&finished.stderr);
    match finished.exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(_) if !is_network_trouble(&finished.stderr) => Err(problem(None, format!("uv: {words}")).into()),
        exit => Err(BuildFault::Tool(format!("install packages: uv {exit}: {words}")).into()),
    }
}

/// The name of the distribution that a dependency is of, in its normal form: `Intuned_Runtime[x] >= 1` is `intuned-runtime`.
fn distribution(dependency: &str) -> String {
    let name = dependency.trim().split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).next().unwrap_or_default();
    name.to_ascii_lowercase().split(['-', '_', '.']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

fn read_text(folder: &Path, name: &str) -> Result<Option<String>, BuildFailure> {
    let path = folder.join(name);
    let refused = |message: &str| Problem { file: name.to_owned(), line: None, message: message.to_owned() };
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => return Err(refused("is larger than 32 MiB").into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk("read the package file")(error)),
    }
    let bytes = std::fs::read(&path).map_err(disk("read the package file"))?;
    String::from_utf8(bytes).map(Some).map_err(|_| refused("is not UTF-8").into())
}

fn problem(line: Option<u32>, message: String) -> Problem {
    Problem { file: PYPROJECT.to_owned(), line, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_told_from_what_is_asked_of_it() {
        for (dependency, name) in [
            ("intuned-runtime", "intuned-runtime"),
            ("Intuned_Runtime[x]==1.3.41", "intuned-runtime"),
            ("intuned.browser >= 1", "intuned-browser"),
            ("intuned-runtime-extras", "intuned-runtime-extras"),
            ("x @ https://a.test/x.whl", "x"),
            ("intuned-sdk; python_version<'3.13'", "intuned-sdk"),
        ] {
            assert_eq!(distribution(dependency), name);
        }
    }

    #[test]
    fn what_is_served_leaves_the_list_and_nonsense_has_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join(PYPROJECT), text).unwrap();
        write(
            "[project]\nname = \"x\"\nrequires-python = \">=3.12,<3.13\"\ndependencies = [\"intuned-runtime==1.3.41\", \"playwright==1.61.0\"]\n",
        );
        let wishes = Wishes::read(folder.path()).unwrap();
        assert_eq!(wishes.left_out, ["intuned-runtime"]);
        assert!(wishes.has_dependencies && !wishes.has_lock);
        assert_eq!((wishes.requires_line, wishes.requires_python.unwrap().0.as_str()), (Some(3), ">=3.12,<3.13"));
        assert_eq!(wishes.document["project"]["dependencies"].to_string(), "[\"playwright==1.61.0\"]");
        for (text, line) in [("[project]\nname = \n", 2), ("[project]\nname = \"x\"\nrequires-python = \"twelve\"\n", 3)] {
            write(text);
            let Err(BuildFailure::Refused(problems)) = Wishes::read(folder.path()) else { panic!("{text}") };
            assert_eq!(problems[0].line, Some(line), "{text}");
        }
    }
}
