//! What an unpacked project says about itself: its settings, its language, its APIs. Reads files and runs nothing.

use std::path::Path;

use keywright_domain::{ApiName, InvalidSettings, Language, Problem, SETTINGS_FILES, Settings};

use super::entries::{self, Entries};
use super::secrets;
use super::{BuildFailure, disk, line_with};

/// An unpacked project.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) language: Language,
    pub(super) settings_file: String,
    pub(super) settings_text: String,
    pub(super) is_auth_enabled: bool,
    pub(super) apis: Vec<ApiName>,
    pub(super) has_hook: bool,
    pub(super) warnings: Vec<Problem>,
}

impl Project {
    /// Reads a project; all of its problems at once.
    pub(super) fn read(folder: &Path) -> Result<Self, BuildFailure> {
        let mut problems = Vec::new();
        let settings = read_settings(folder)?.map_err(|problem| problems.push(problem)).ok();
        let language = language(folder)?.map_err(|problem| problems.push(problem)).ok();
        let Some(language) = language else { return Err(BuildFailure::Refused(problems)) };
        let is_auth_enabled = settings.as_ref().is_some_and(|(_, _, settings)| settings.is_auth_enabled);
        let entries = Entries::find(folder, language, is_auth_enabled).map_err(disk("read the project"))?;
        problems.extend(entries.problems);
        let Some((settings_file, settings_text, settings)) = settings.filter(|_| problems.is_empty()) else {
            return Err(BuildFailure::Refused(problems));
        };
        let ignored = settings.ignored.iter().map(|member| Problem {
            file: settings_file.clone(),
            line: line_of_member(&settings_text, member),
            message: format!("`{member}` is not supported by this version and has no effect"),
        });
        let warnings = ignored.collect();
        secrets::hide_proxy_password(folder, &settings_file, &settings_text, &settings)
            .map_err(disk("take the proxy's password out of the unpacked settings"))?;
        let has_hook = has_hook(folder, language).map_err(disk("look for a setup hook"))?;
        Ok(Self { language, settings_file, settings_text, is_auth_enabled, apis: entries.apis, has_hook, warnings })
    }
}

/// Whether there is a setup hook. Anything of its name counts: a runner may load it, whatever its extension.
fn has_hook(folder: &Path, language: Language) -> std::io::Result<bool> {
    let stem = match language {
        Language::Node => "setupContext",
        Language::Python => "setup_context",
    };
    let files = match std::fs::read_dir(folder.join("hooks")) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for file in files {
        if Path::new(&file?.file_name()).file_stem().is_some_and(|found| found == stem) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first settings file there is, and what is wrong with it.
fn read_settings(folder: &Path) -> Result<Result<(String, String, Settings), Problem>, BuildFailure> {
    for name in SETTINGS_FILES {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let content = std::fs::read(&path).map_err(disk("read the settings file"))?;
        let text = String::from_utf8_lossy(&content).into_owned();
        return Ok(check_settings(name, &content).map(|settings| (name.to_owned(), text, settings)));
    }
    let message = format!("the project has no settings file; it must have one of {}", SETTINGS_FILES.join(", "));
    Ok(Err(Problem { file: SETTINGS_FILES[0].to_owned(), line: None, message }))
}

/// Reads a settings file's content; what is wrong with it, and where.
///
/// # Errors
/// With the file's name and, where it can be told, the line.
pub fn check_settings(file_name: &str, content: &[u8]) -> Result<Settings, Problem> {
    Settings::parse(file_name, content).map_err(|error| {
        let line = match &error {
            InvalidSettings::Syntax(words) => line_in_words(words),
            InvalidSettings::Member { member, .. } => line_of_member(&String::from_utf8_lossy(content), member),
            InvalidSettings::Size | InvalidSettings::NotUtf8 => None,
        };
        Problem { file: file_name.to_owned(), line, message: format!("the settings file {}", first_line(&error.to_string())) }
    })
}

/// A project is in the language of its package file; without one, of its code.
fn language(folder: &Path) -> Result<Result<Language, Problem>, BuildFailure> {
    let has_code = |language| entries::has_code(folder, language).map_err(disk("read the project"));
    let (node_file, python_file) = (folder.join("package.json").is_file(), folder.join("pyproject.toml").is_file());
    let (is_node, is_python) = match (node_file, python_file) {
        (false, false) => (has_code(Language::Node)?, has_code(Language::Python)?),
        // Tools of one language are common in projects of the other; the code decides.
        (true, true) => match (has_code(Language::Node)?, has_code(Language::Python)?) {
            (false, false) => (true, true),
            code => code,
        },
        one => one,
    };
    let problem = |file: &str, message: &str| Err(Problem { file: file.to_owned(), line: None, message: message.to_owned() });
    Ok(match (is_node, is_python) {
        (true, false) => Ok(Language::Node),
        (false, true) => Ok(Language::Python),
        (true, true) => problem("api", "the project is in two languages; api/ and auth-sessions/ must be TypeScript or Python"),
        (false, false) => {
            problem("api", "the project has no language: there is no package.json, no pyproject.toml and no code in api/")
        }
    })
}

/// The line that a parser's message names.
pub(super) fn line_in_words(words: &str) -> Option<u32> {
    let number = |text: &str| {
        let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    // "… at line 4 column 3", "TOML parse error at line 4, column 3", and " --> 4:3" of grammars.
    let after = |mark: &str| words.find(mark).and_then(|at| number(&words[at + mark.len()..]));
    after("line ").or_else(|| after("--> "))
}

/// The line of a member given by its dotted path: each name is looked for behind the one before it.
fn line_of_member(text: &str, path: &str) -> Option<u32> {
    let mut line = None;
    let mut skipped = 0;
    for name in path.split('.') {
        let rest: String = text.lines().skip(skipped).map(|line| format!("{line}\n")).collect();
        let found = line_with(&rest, &[name])?;
        skipped += usize::try_from(found).ok()? - 1;
        line = u32::try_from(skipped + 1).ok();
    }
    line
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_where_the_member_is() {
        let text = "{\n  \"enabled\": 1,\n  \"authSessions\": {\n    \"enabled\": \"yes\"\n  }\n}";
        assert_eq!(line_of_member(text, "authSessions.enabled"), Some(4));
        assert_eq!(line_of_member("a = { b = 1 }", "a.b"), Some(1));
        assert_eq!(line_of_member(text, "browser"), None);
    }

    #[test]
    fn the_line_is_taken_from_the_words_of_a_parser() {
        for (words, line) in [
            ("expected `,` at line 4 column 3", Some(4)),
            ("TOML parse error at line 12, column 1", Some(12)),
            (" --> 7:3\n  |", Some(7)),
            ("no idea", None),
        ] {
            assert_eq!(line_in_words(words), line, "{words}");
        }
    }
}
