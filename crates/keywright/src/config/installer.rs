//! How packages are fetched on this machine: the environment's own settings for npm, pip and uv, handed to the installers and
//! never to user code.

use std::path::PathBuf;

use keywright_runner::Installer;

/// Reads the environment, here and nowhere else.
pub(crate) fn installer() -> Installer {
    #[expect(clippy::disallowed_methods, reason = "the binary's configuration is where the environment is read")]
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Installer {
        python: None,
        home: read("HOME").map(PathBuf::from),
        variables: Installer::VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), read(name)?))).collect(),
    }
}
