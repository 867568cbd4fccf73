//! The files of a project that can be executed: everything in its language below `api/`, and the two that log in.
//!
//! A helper module below `api/` is an API too, and refused when it has no function to call: the platform does the same, and
//! a file that is silently left out would be missed only when it is called. Python's `__init__.py` and TypeScript's
//! declarations are no code of their own and are passed over. Reads names only.

use std::io;
use std::path::Path;

use keywright_domain::{ApiName, Language, Problem};

/// The longest path in an archive cannot be nested deeper.
const MAX_DEPTH: usize = 120;

/// What can be executed.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) apis: Vec<ApiName>,
    pub(super) problems: Vec<Problem>,
}

impl Entries {
    /// Finds them.
    pub(super) fn find(folder: &Path, language: Language, is_auth_enabled: bool) -> io::Result<Self> {
        let mut files = Vec::new();
        below(folder, "api", MAX_DEPTH, &mut files)?;
        files.retain(|file| is_code(file, language));
        files.sort();
        let (mut apis, mut problems) = (Vec::new(), Vec::new());
        for file in &files {
            let name = file.strip_prefix("api/").and_then(without_extension).unwrap_or_default();
            match ApiName::parse(name) {
                Ok(api) if apis.contains(&api) => {
                    problems.push(problem(file, "another file has the same name, with another extension"))
                }
                Ok(api) => apis.push(api),
                Err(error) => problems.push(problem(file, &format!("the name of an API {error}"))),
            }
        }
        let extension = if language == Language::Node { "ts" } else { "py" };
        if files.is_empty() {
            problems.push(problem("api", &format!("there is no API; put one into a file such as api/hello.{extension}")));
        }
        if is_auth_enabled {
            let mut present = Vec::new();
            below(folder, "auth-sessions", 1, &mut present)?;
            for name in ["auth-sessions/create", "auth-sessions/check"] {
                let is_there = present.iter().any(|file| is_code(file, language) && without_extension(file) == Some(name));
                if !is_there {
                    problems.push(problem(&format!("{name}.{extension}"), "is missing, and authSessions.enabled asks for it"));
                }
            }
        }
        Ok(Self { apis, problems })
    }
}

/// Whether there is code of a language where entries are.
pub(super) fn has_code(folder: &Path, language: Language) -> io::Result<bool> {
    let mut files = Vec::new();
    below(folder, "api", MAX_DEPTH, &mut files)?;
    below(folder, "auth-sessions", 1, &mut files)?;
    Ok(files.iter().any(|file| is_code(file, language)))
}

fn is_code(file: &str, language: Language) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    match language {
        Language::Node => {
            let is_source = [".ts", ".tsx", ".mts", ".cts", ".js", ".mjs", ".cjs"].iter().any(|end| name.ends_with(end));
            is_source && ![".d.ts", ".d.mts", ".d.cts"].iter().any(|end| name.ends_with(end))
        }
        Language::Python => name.ends_with(".py") && name != "__init__.py",
    }
}

fn without_extension(file: &str) -> Option<&str> {
    file.rsplit_once('.').map(|(name, _)| name)
}

/// The regular files below `inner`, as paths in the project.
fn below(folder: &Path, inner: &str, depth: usize, files: &mut Vec<String>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder.join(inner)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let path = format!("{inner}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 1 {
            below(folder, &path, depth - 1, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn problem(file: &str, message: &str) -> Problem {
    Problem { file: file.to_owned(), line: None, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    #[test]
    fn every_file_of_the_language_is_an_api_and_nothing_else() {
        let folder = project(&["api/b.ts", "api/a/c-d.js", "api/types.d.ts", "api/notes.txt", "api/x.py", "helpers/y.ts"]);
        let found = Entries::find(folder.path(), Language::Node, false).unwrap();
        assert_eq!(found.apis.iter().map(ApiName::as_str).collect::<Vec<_>>(), ["a/c-d", "b"]);
        assert_eq!(found.problems, []);
        let folder = project(&["api/__init__.py", "api/a/b.py"]);
        let found = Entries::find(folder.path(), Language::Python, false).unwrap();
        assert_eq!(found.apis.iter().map(ApiName::as_str).collect::<Vec<_>>(), ["a/b"]);
    }

    #[test]
    fn what_cannot_be_called_is_a_problem_with_its_file() {
        let folder =
            project(&["api/a b.ts", "api/twice.ts", "api/twice.js", "auth-sessions/create.ts", "auth-sessions/deep/check.ts"]);
        let found = Entries::find(folder.path(), Language::Node, true).unwrap();
        let files: Vec<&str> = found.problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(files, ["api/a b.ts", "api/twice.ts", "auth-sessions/check.ts"]);
    }
}
