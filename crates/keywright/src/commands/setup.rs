//! `keywright setup`: installs the base environments of the runners, so that the first start of a server is quick.

use std::process::ExitCode;

use anyhow::Context as _;
use keywright_runner::RuntimePaths;

use crate::cli::SetupOptions;

/// Installs what is missing.
pub(crate) async fn setup(options: SetupOptions) -> anyhow::Result<ExitCode> {
    crate::logging::start_plain();
    RuntimePaths::ensure(&options.runtime_dir, &crate::config::installer())
        .await
        .context("the runner environments cannot be installed")?;
    Ok(ExitCode::SUCCESS)
}
