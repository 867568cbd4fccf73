//! The arrows between the crates are those of `docs/ARCHITECTURE.md`, every source file says what it is for, and what is
//! written down in two places is the same in both.
#![expect(clippy::disallowed_methods, reason = "the test asks cargo for the workspace's own metadata")]
#![expect(clippy::unwrap_used, reason = "a test, its helper functions included")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on, of our own.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("keywright-domain", &[]),
    ("keywright-store", &["keywright-domain"]),
    ("keywright-engine", &["keywright-domain", "keywright-store"]),
    ("keywright-runner", &["keywright-domain"]),
    ("keywright-wire", &["keywright-domain"]),
    ("keywright-client", &["keywright-wire"]),
    ("keywright-api", &["keywright-domain", "keywright-store", "keywright-wire"]),
    (
        "keywright",
        &[
            "keywright-api",
            "keywright-client",
            "keywright-domain",
            "keywright-engine",
            "keywright-runner",
            "keywright-store",
            "keywright-wire",
        ],
    ),
    ("xtask", &[]),
];

/// Outside crates that are at home in some of ours only, because each would carry its world with it.
const AT_HOME: [(&str, &[&str]); 5] = [
    ("sqlx", &["keywright-store"]),
    ("axum", &["keywright-api", "keywright"]),
    ("process-wrap", &["keywright-runner"]),
    ("reqwest", &["keywright-client"]),
    ("anyhow", &["keywright", "xtask"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Normal dependencies of every crate of the workspace, by name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let normal = package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn crates_depend_on_each_other_only_as_documented() {
    let found = dependencies();
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ALLOWED.iter().map(|(name, _)| *name).collect(), "a crate without arrows, or an arrow without a crate");
    for (name, allowed) in ALLOWED {
        let ours: Vec<&str> = found[name].iter().map(String::as_str).filter(|dependency| names.contains(dependency)).collect();
        let wrong: Vec<&&str> = ours.iter().filter(|dependency| !allowed.contains(dependency)).collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
    }
}

#[test]
fn heavy_dependencies_stay_at_home() {
    for (name, dependencies) in dependencies() {
        for (outside, homes) in AT_HOME {
            assert!(!dependencies.contains(outside) || homes.contains(&name.as_str()), "{outside} is not at home in {name}");
        }
    }
}

#[test]
fn the_domain_knows_neither_time_nor_tasks_nor_the_outside() {
    let found = dependencies();
    for forbidden in ["tokio", "sqlx", "axum", "hyper", "reqwest", "rand", "jiff", "tracing", "async-trait"] {
        assert!(!found["keywright-domain"].contains(forbidden), "keywright-domain must not depend on {forbidden}");
    }
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "the files were not found");
    let silent: Vec<&PathBuf> =
        files.iter().filter(|file| !std::fs::read_to_string(file).unwrap().trim_start().starts_with("//!")).collect();
    assert!(silent.is_empty(), "these files do not start with `//!`: {silent:#?}");
}

#[test]
fn nothing_is_allowed_without_a_reason() {
    let mut files = Vec::new();
    collect(&root().join("crates"), &mut files);
    // Spelled in two parts, so that this file does not find itself.
    let allow = ["#[", "allow("].concat();
    let inner = ["#![", "allow("].concat();
    let guilty: Vec<&PathBuf> = files
        .iter()
        .filter(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            text.contains(&allow) || text.contains(&inner)
        })
        .collect();
    assert!(guilty.is_empty(), "use `#[expect(…, reason = …)]`: {guilty:#?}");
}

/// What stands between `before` and the next quote, wherever it stands in a file.
fn quoted_after(file: &Path, before: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn the_listed_failpoints_are_those_in_the_code() {
    let lists = ["crates/engine/failpoints.txt", "crates/engine/failpoints-off-path.txt"]
        .map(|list| std::fs::read_to_string(root().join(list)).unwrap());
    let lines = lists.iter().flat_map(|list| list.lines());
    let listed: Vec<&str> =
        lines.filter_map(|line| line.split('#').next()).map(str::trim).filter(|name| !name.is_empty()).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a point is listed once");
    let mut files = Vec::new();
    collect(&root().join("crates"), &mut files);
    let found: BTreeSet<String> = files.iter().flat_map(|file| quoted_after(file, "fail_point!(\"")).collect();
    assert_eq!(listed.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), found);
}

#[test]
fn the_tests_install_python_packages_with_the_uv_that_the_product_uses() {
    let pinned = |file: &str| quoted_after(&root().join(file), "const UV: &str = \"");
    assert_eq!(pinned("xtask/src/machine.rs"), pinned("crates/runner/src/runtime/installation.rs"));
    assert_eq!(pinned("xtask/src/machine.rs").len(), 1);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
