//! The configuration file: TOML with the names of the options. A file that was named but is not there is an error.

use std::path::Path;

use super::{InvalidConfig, ServeOptions};

/// Largest accepted file, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

pub(super) fn read(path: &Path) -> Result<ServeOptions, InvalidConfig> {
    let unreadable = |source| InvalidConfig::Unreadable { path: path.to_owned(), source };
    let invalid = |why: String| InvalidConfig::File { path: path.to_owned(), why };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(invalid(format!("it is larger than {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    toml::from_str(&text).map_err(|error| {
        // The message alone: the default rendering quotes the file's line, which may hold a proxy's password.
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        invalid(match line {
            Some(line) => format!("line {line}: {}", error.message()),
            None => error.message().to_owned(),
        })
    })
}
