//! `keywright setup`: installs the base environments of the runners, so that the first start of a server is quick.

use std::process::ExitCode;

use anyhow::Context as _;
use keywright_runner::RuntimePaths;

use crate::cli::SetupOptions;

/// Where they go when nobody says, as of `serve` with its default data folder.
const DEFAULT_RUNTIME_DIR: &str = "data/runtime";

/// Installs what is missing.
pub(crate) fn setup(options: SetupOptions) -> anyhow::Result<ExitCode> {
    crate::logging::start_plain();
    let folder = options.runtime_dir.unwrap_or_else(|| DEFAULT_RUNTIME_DIR.into());
    RuntimePaths::ensure(&folder).context("the runner environments cannot be installed")?;
    Ok(ExitCode::SUCCESS)
}
