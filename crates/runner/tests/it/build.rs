//! Real projects, built by the real installers, bundler and runners.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use keywright_domain::{DeploymentId, Language, Problem};
use keywright_runner::{BuildFailure, Builder, BuilderConfig, Built, Manifest};
use tempfile::TempDir;

use crate::runtime::{installer, runtime};

/// A builder with folders of its own.
struct Place {
    _folder: TempDir,
    deployments: PathBuf,
    scratch: PathBuf,
    builder: Builder,
    id: DeploymentId,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (deployments, scratch) = (folder.path().join("deployments"), folder.path().join("scratch"));
        let config = BuilderConfig {
            runtime: runtime().await,
            deployments: deployments.clone(),
            scratch: scratch.clone(),
            installer: installer(),
        };
        let builder = Builder::open(config).await.unwrap();
        Self { _folder: folder, deployments, scratch, builder, id: DeploymentId::from_entropy([3; 21]) }
    }

    async fn build(&self, archive: Bytes, relax_python: bool) -> Result<Built, BuildFailure> {
        self.builder.build(&self.id, archive, relax_python).await
    }

    fn folder(&self) -> PathBuf {
        self.deployments.join(self.id.as_str())
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        [&self.deployments, &self.scratch]
            .iter()
            .flat_map(|folder| std::fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn pack(folder: &Path) -> Bytes {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append_dir_all(".", folder).unwrap();
    tar.into_inner().unwrap().finish().unwrap().into()
}

/// An archive of files given as text.
fn project(files: &[(&str, &str)]) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    pack(folder.path())
}

fn names(built: &Built) -> Vec<&str> {
    built.apis.iter().map(|api| api.as_str()).collect()
}

fn refused(built: Result<Built, BuildFailure>) -> Vec<Problem> {
    match built {
        Err(BuildFailure::Refused(problems)) => problems,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_examples_build_on_the_base_environment_and_say_what_was_left_out() {
    let place = Place::new().await;
    for (name, language, apis) in [
        ("shop-ts", Language::Node, &["orders", "orders/details"][..]),
        ("shop-py", Language::Python, &["orders", "orders/details"]),
    ] {
        let built = place.build(pack(&examples().join(name)), false).await.unwrap();
        assert_eq!((built.language, built.settings_file.as_str()), (language, "Intuned.json"), "{name}");
        let mut found = names(&built);
        found.sort_unstable();
        assert_eq!(found, apis, "{name}");
        assert_eq!((built.python.as_deref(), built.playwright_root.as_deref()), (None, None), "{name}");
        let left_out =
            if language == Language::Node { "@intuned/browser, @intuned/runtime" } else { "intuned-runtime, intuned-browser" };
        assert!(built.warnings.iter().any(|warning| warning.message.ends_with(left_out)), "{name}: {:?}", built.warnings);
        assert_eq!(
            Manifest::read(&place.folder()).unwrap(),
            Manifest { language, python: None, playwright_root: None, has_hook: false }
        );
        let settings = std::fs::metadata(place.folder().join("Intuned.json")).unwrap();
        assert_eq!(settings.permissions().mode() & 0o777, 0o644);
        assert_eq!(place.leftovers(), [place.folder()], "{name}: only the deployment is left");
    }
}

#[tokio::test]
async fn projects_that_misbehave_only_when_they_run_are_built() {
    let place = Place::new().await;
    for name in ["unruly-ts", "unruly-py", "login-lab-ts"] {
        let built = place.build(pack(&examples().join("fixtures").join(name)), false).await.unwrap();
        let deep = names(&built).contains(&"nested/deep-er/dashed-name");
        assert_eq!(deep, name.starts_with("unruly"), "{name}: {:?}", names(&built));
    }
}

#[tokio::test]
async fn a_broken_project_is_refused_for_the_one_reason_its_name_gives() {
    let place = Place::new().await;
    let cases: [(&str, &str, Option<u32>, &str); 14] = [
        ("broken-no-api", "api", None, "there is no API"),
        ("broken-no-check", "auth-sessions/check.ts", None, "is missing"),
        ("broken-no-create", "auth-sessions/create.py", None, "is missing"),
        ("broken-no-language", "api", None, "no language"),
        ("broken-settings-missing", "Intuned.json", None, "no settings file"),
        ("broken-settings-syntax", "Intuned.json", Some(4), "cannot be read"),
        ("broken-settings-types", "Intuned.json", Some(4), "authSessions.enabled"),
        ("broken-ts-syntax", "api/broken.ts", Some(3), "Unexpected"),
        ("broken-ts-import", "api/broken.ts", Some(1), "../helpers/nowhere"),
        ("broken-ts-load", "api/broken.ts", Some(2), "SyntaxError"),
        ("broken-ts-no-default", "api/broken.ts", None, "default"),
        ("broken-py-syntax", "api/broken.py", Some(2), "SyntaxError"),
        ("broken-py-import", "api/broken.py", Some(3), "no_such_module_anywhere"),
        ("broken-py-sync", "api/broken.py", None, "async def"),
    ];
    let fixtures = std::fs::read_dir(examples().join("fixtures")).unwrap();
    let broken = fixtures.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("broken-")).count();
    assert_eq!(broken, cases.len(), "every broken fixture is in the table");
    let mut wrong = Vec::new();
    for (name, file, line, words) in &cases {
        let problems = refused(place.build(pack(&examples().join("fixtures").join(name)), false).await);
        let is_it = matches!(&problems[..], [only] if only.file == *file && only.message.contains(words) && (line.is_none() || only.line == *line));
        if !is_it {
            wrong.push(format!("{name}: {problems:?}"));
        }
        assert!(place.leftovers().is_empty(), "{name}: something was left");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn code_that_ends_the_process_while_it_is_imported_is_refused() {
    let place = Place::new().await;
    let node =
        [("Intuned.json", "{}"), ("package.json", "{}"), ("api/a.ts", "process.exit(0);\nexport default async () => 1;\n")];
    let python = [
        ("Intuned.json", "{}"),
        ("pyproject.toml", "[project]\nname='x'\nversion='1'\n"),
        ("api/a.py", "import os\nos._exit(0)\n"),
    ];
    for files in [node, python] {
        let problems = refused(place.build(project(&files), false).await);
        assert!(problems[0].message.contains("ended the process"), "{problems:?}");
    }
}

#[tokio::test]
async fn a_node_project_with_its_own_playwright_gets_it_exactly() {
    let place = Place::new().await;
    let package = r#"{"dependencies": {"playwright-core": "1.63.0", "@intuned/runtime": "1.3.38", "is-number": "7.0.0"}}"#;
    let code = "import isNumber from 'is-number';\nexport default async () => isNumber(1);\n";
    let built =
        place.build(project(&[("Intuned.json", "{}"), ("package.json", package), ("api/a.ts", code)]), false).await.unwrap();
    assert_eq!(built.playwright_root.as_deref(), Some("."));
    let modules = place.folder().join("node_modules");
    let version = |name: &str| {
        let package = std::fs::read(modules.join(name).join("package.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&package).unwrap()["version"].as_str().unwrap().to_owned()
    };
    assert_eq!((version("playwright-core").as_str(), version("is-number").as_str()), ("1.63.0", "7.0.0"));
    assert!(!modules.join("@intuned").exists());
    let own = std::fs::metadata(modules.join("is-number/index.js")).unwrap();
    assert_eq!(own.permissions().mode() & 0o777, 0o644);
    assert_eq!(
        std::fs::read_to_string(place.folder().join("package.json")).unwrap(),
        package,
        "the author's file stays as it is"
    );
}

#[tokio::test]
async fn an_install_script_cannot_lead_the_server_out_of_its_folder() {
    let place = Place::new().await;
    let package = r#"{"dependencies": {"is-number": "7.0.0"}, "scripts": {"postinstall": "SCRIPT"}}"#;
    for script in ["mv node_modules elsewhere; ln -s /usr node_modules", "cd ..; mv work elsewhere; ln -s /usr work"] {
        let package = package.replace("SCRIPT", script);
        let files = [("Intuned.json", "{}"), ("package.json", package.as_str()), ("api/a.ts", "export default async () => 1;\n")];
        // Without a sandbox the script is not run at all, and the project is as good as any.
        if let Ok(built) = place.build(project(&files), false).await {
            assert!(
                built.warnings.iter().any(|warning| warning.message.contains("install scripts"))
                    || !place.folder().join("node_modules").exists()
            );
        }
        assert!(!place.folder().join("node_modules").is_symlink());
    }
}

#[tokio::test]
async fn what_the_lock_says_wins_over_what_the_range_would_allow() {
    let place = Place::new().await;
    let package = r#"{"dependencies": {"is-number": "^7.0.0", "@intuned/browser": "0.1.17"}}"#;
    let lock = r#"{"name": "x", "lockfileVersion": 3, "requires": true, "packages": {
        "": {"dependencies": {"is-number": "^7.0.0", "@intuned/browser": "0.1.17"}},
        "node_modules/@intuned/browser": {"version": "0.1.17"},
        "node_modules/is-number": {"version": "7.0.0", "license": "MIT", "engines": {"node": ">=0.12.0"}}}}"#;
    let files = [
        ("Intuned.json", "{}"),
        ("package.json", package),
        ("package-lock.json", lock),
        ("api/a.ts", "export default async () => 1;\n"),
    ];
    let built = place.build(project(&files), false).await.unwrap();
    assert_eq!(built.playwright_root, None);
    assert!(place.folder().join("node_modules/is-number").is_dir());
    // A lock that disagrees with the package file is the author's problem, not ours to settle.
    let lock = lock
        .replace(r#""": {"dependencies": {"is-number": "^7.0.0""#, r#""": {"dependencies": {"is-number": "^6.0.0""#)
        .replace("\"7.0.0\"", "\"6.0.0\"");
    let files = [files[0], files[1], ("package-lock.json", lock.as_str()), files[3]];
    let problems = refused(place.build(project(&files), false).await);
    assert_eq!(problems[0].file, "package.json");
    assert!(problems[0].message.contains("npm ci"), "{problems:?}");
}

#[tokio::test]
async fn a_python_project_with_packages_of_its_own_gets_an_environment_of_its_own() {
    let place = Place::new().await;
    let pyproject = "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['six==1.16.0', 'intuned-runtime==1.3.41']\n";
    let code = "import six\nfrom intuned_runtime import extend_timeout\n\n\nasync def automation(page, params=None, **_):\n    return six.__version__\n";
    let built =
        place.build(project(&[("Intuned.json", "{}"), ("pyproject.toml", pyproject), ("api/a.py", code)]), false).await.unwrap();
    let python = built.python.as_deref().unwrap();
    assert!(place.folder().join(python).is_file());
    let lib = std::fs::read_dir(place.folder().join(".keywright/venv/lib")).unwrap().next().unwrap().unwrap().path();
    assert!(lib.join("site-packages/six-1.16.0.dist-info").is_dir());
    assert!(!lib.join("site-packages/intuned_runtime").exists());
}

#[tokio::test]
async fn a_locked_python_project_gets_what_is_locked_without_what_is_served() {
    let place = Place::new().await;
    let pyproject = "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['six', 'intuned-runtime']\n\n\
        [tool.uv]\npackage = false\n\n[tool.uv.sources]\nintuned-runtime = { path = 'served' }\n";
    let served = "[project]\nname = 'intuned-runtime'\nversion = '9'\ndependencies = []\n";
    let lock = "version = 1\nrevision = 3\nrequires-python = \">=3.10\"\n\n\
        [[package]]\nname = \"intuned-runtime\"\nversion = \"9\"\nsource = { directory = \"served\" }\n\n\
        [[package]]\nname = \"six\"\nversion = \"1.16.0\"\nsource = { registry = \"https://pypi.org/simple\" }\n\
        wheels = [{ url = \"https://files.pythonhosted.org/packages/d9/5a/e7c31adbe875f2abbb91bd84cf2dc52d792b5a01506781dbcf25c91daf11/six-1.16.0-py2.py3-none-any.whl\", hash = \"sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\", size = 11053 }]\n\n\
        [[package]]\nname = \"x\"\nversion = \"1\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"intuned-runtime\" }, { name = \"six\" }]\n\n\
        [package.metadata]\nrequires-dist = [{ name = \"intuned-runtime\", directory = \"served\" }, { name = \"six\" }]\n";
    let code = "import six\n\n\nasync def automation(page, params=None, **_):\n    return six.__version__\n";
    let files = [
        ("Intuned.json", "{}"),
        ("pyproject.toml", pyproject),
        ("uv.lock", lock),
        ("served/pyproject.toml", served),
        ("api/a.py", code),
    ];
    let built = place.build(project(&files), false).await.unwrap();
    assert!(built.python.is_some());
    let lib = std::fs::read_dir(place.folder().join(".keywright/venv/lib")).unwrap().next().unwrap().unwrap().path();
    let installed: Vec<String> = std::fs::read_dir(lib.join("site-packages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".dist-info"))
        .collect();
    assert_eq!(installed, ["six-1.16.0.dist-info"]);
}

#[tokio::test]
async fn a_python_that_the_machine_lacks_is_refused_with_the_fix_or_relaxed_with_a_warning() {
    let place = Place::new().await;
    let pyproject = "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.9,<3.10'\ndependencies = []\n";
    let archive = project(&[
        ("Intuned.json", "{}"),
        ("pyproject.toml", pyproject),
        ("api/a.py", "async def automation(page):\n    return 1\n"),
    ]);
    let problems = refused(place.build(archive.clone(), false).await);
    assert_eq!((problems[0].file.as_str(), problems[0].line), ("pyproject.toml", Some(4)));
    assert!(problems[0].message.contains("--relax-python"), "{problems:?}");
    let built = place.build(archive, true).await.unwrap();
    assert!(
        built.warnings.iter().any(|warning| warning.line == Some(4) && warning.message.contains(">=3.9,<3.10")),
        "{:?}",
        built.warnings
    );
}

#[tokio::test]
async fn a_project_runs_on_the_python_it_requires_when_the_machine_has_it() {
    let home = installer().home.unwrap_or_default();
    let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten();
    if !versions.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("3.12.")) {
        eprintln!("skipped: this machine has no Python 3.12 beside its own");
        return;
    }
    let place = Place::new().await;
    let pyproject = "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.12,<3.13'\n\
        dependencies = ['intuned-runtime==1.3.41', 'intuned-browser==0.1.18']\n";
    let code = "import sys\nfrom playwright.async_api import Page\n\nassert sys.version_info[:2] == (3, 12)\n\n\n\
        async def automation(page: Page, params=None, **_):\n    return 1\n";
    let built =
        place.build(project(&[("Intuned.json", "{}"), ("pyproject.toml", pyproject), ("api/a.py", code)]), false).await.unwrap();
    assert_eq!(built.python.as_deref(), Some(".keywright/venv/bin/python"));
}

#[tokio::test]
async fn a_build_that_is_dropped_leaves_no_deployment() {
    let place = Place::new().await;
    let archive = pack(&examples().join("shop-ts"));
    let build = place.build(archive.clone(), false);
    // Long enough to have unpacked, or not: either way nothing may look complete afterwards.
    drop(tokio::time::timeout(std::time::Duration::from_millis(50), build).await);
    assert!(Manifest::read(&place.folder()).is_err());
    place.build(archive, false).await.expect("the next try begins from nothing");
}
