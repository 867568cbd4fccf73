//! Lists the runners' own sources, so that the binary carries them: exactly the folders and files named here, never what is
//! installed beside them (`node_modules`, `.venv`) and never tests. A list of `include_bytes!` needs no crate for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What is carried, relative to `runners/`.
const SOURCES: [&str; 8] = [
    "node/package.json",
    "node/package-lock.json",
    "node/src",
    "node/shims",
    "python/pyproject.toml",
    "python/uv.lock",
    "python/src",
    "shared",
];

/// What interpreters leave behind.
const LEFT_OUT: [&str; 3] = ["__pycache__", "node_modules", ".pytest_cache"];

fn main() -> std::io::Result<()> {
    // Read when it runs, not when it is compiled, and run every time: one target folder may serve several clones, and each
    // binary must carry the sources of its own. Nothing is recompiled unless one of them differs.
    println!("cargo:rerun-if-changed=a-file-that-is-never-there");
    let runners = variable("CARGO_MANIFEST_DIR")?.join("../../runners").canonicalize()?;
    let out = variable("OUT_DIR")?;
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&runners.join(source), &mut files)?;
    }
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&runners).map_err(std::io::Error::other)?;
        let copy = out.join("runners").join(name);
        write_if_other(&copy, &std::fs::read(&file)?)?;
        writeln!(code, "    ({:?}, include_bytes!({copy:?})),", name.display().to_string()).map_err(std::io::Error::other)?;
    }
    code.push(']');
    write_if_other(&out.join("embedded.rs"), code.as_bytes())
}

fn variable(name: &str) -> std::io::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script where it is in the environment")]
    let value = std::env::var_os(name);
    value.map(PathBuf::from).ok_or_else(|| std::io::Error::other(format!("cargo sets {name}")))
}

fn write_if_other(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?.path();
        if !entry.file_name().is_some_and(|name| LEFT_OUT.iter().any(|left_out| name == *left_out)) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
