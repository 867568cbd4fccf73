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
    let runners = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runners").canonicalize()?;
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={}", runners.join(source).display());
        collect(&runners.join(source), &mut files)?;
    }
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&runners).map_err(std::io::Error::other)?;
        writeln!(code, "    ({:?}, include_bytes!({file:?})),", name.display().to_string()).map_err(std::io::Error::other)?;
    }
    code.push(']');
    #[expect(clippy::disallowed_methods, reason = "cargo says in the environment where a build script may write")]
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("cargo sets OUT_DIR"))?;
    std::fs::write(PathBuf::from(out).join("embedded.rs"), code)
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
