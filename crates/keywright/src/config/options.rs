//! The options of `serve` as they are written, before anybody knows whether they make sense. The same type is the flags, the
//! environment and the file, so that none of the three can have an option the others lack.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

/// Which browser pages run in unless a project says otherwise.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BrowserName {
    /// Fast, and what Playwright itself uses for headless pages
    ChromiumHeadlessShell,
    /// Slower; nothing about it differs from a person's browser
    Chromium,
}

/// How stderr is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Everything that `serve` can be told.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ServeOptions {
    /// Configuration file (TOML) with the same names as these options
    #[arg(long, env = "KEYWRIGHT_CONFIG")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds everything: database, key file, blobs, deployments
    #[arg(long, env = "KEYWRIGHT_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "KEYWRIGHT_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// What links in answers start with, when the server is behind another [default: http://LISTEN]
    #[arg(long, env = "KEYWRIGHT_BASE_URL")]
    pub(crate) base_url: Option<String>,
    /// Where the base environments of the runners are installed [default: DATA_DIR/runtime]
    #[arg(long, env = "KEYWRIGHT_RUNTIME_DIR")]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Attempts that run at once [default: the number of cores, at least 2]
    #[arg(long, env = "KEYWRIGHT_CONCURRENCY")]
    pub(crate) concurrency: Option<usize>,
    /// Browser of projects that name none [default: chromium-headless-shell]
    #[arg(long, env = "KEYWRIGHT_BROWSER")]
    pub(crate) browser: Option<BrowserName>,
    /// Executable of chromium-headless-shell [default: /usr/bin/chromium-headless-shell]
    #[arg(long, env = "KEYWRIGHT_HEADLESS_SHELL_PATH")]
    pub(crate) headless_shell_path: Option<PathBuf>,
    /// Executable of full Chromium [default: /usr/bin/chromium]
    #[arg(long, env = "KEYWRIGHT_CHROMIUM_PATH")]
    pub(crate) chromium_path: Option<PathBuf>,
    /// Extra Chromium argument from an allow-list; repeatable (in the environment: one a line)
    #[arg(long, env = "KEYWRIGHT_BROWSER_ARG", value_delimiter = '\n', allow_hyphen_values = true)]
    pub(crate) browser_arg: Option<Vec<String>>,
    /// Let pages load from servers whose certificates are not valid
    #[arg(long, env = "KEYWRIGHT_IGNORE_HTTPS_ERRORS", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) ignore_https_errors: Option<bool>,
    /// Refuse to start where user code and browser cannot be sandboxed
    #[arg(long, env = "KEYWRIGHT_REQUIRE_SANDBOX", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) require_sandbox: Option<bool>,
    /// Proxy that `intuned://auto` stands for
    #[arg(long, env = "KEYWRIGHT_DEFAULT_PROXY", hide_env_values = true)]
    pub(crate) default_proxy: Option<String>,
    /// Deploy Python projects on the nearest interpreter when theirs is not installed, with a warning
    #[arg(long, env = "KEYWRIGHT_RELAX_PYTHON", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) relax_python: Option<bool>,
    /// Seconds that a shutdown waits for running attempts [default: 60]
    #[arg(long, env = "KEYWRIGHT_SHUTDOWN_GRACE_S")]
    pub(crate) shutdown_grace_s: Option<u64>,
    /// How stderr is written [default: text]
    #[arg(long, env = "KEYWRIGHT_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// What is written there, as a tracing filter [default: info]
    #[arg(long, env = "KEYWRIGHT_LOG_FILTER")]
    pub(crate) log_filter: Option<String>,
}

impl ServeOptions {
    /// These options, with the gaps filled from `lower`.
    pub(super) fn over(self, lower: Self) -> Self {
        // Written out member by member: a new option that is not merged does not compile.
        Self {
            config: self.config.or(lower.config),
            data_dir: self.data_dir.or(lower.data_dir),
            listen: self.listen.or(lower.listen),
            base_url: self.base_url.or(lower.base_url),
            runtime_dir: self.runtime_dir.or(lower.runtime_dir),
            concurrency: self.concurrency.or(lower.concurrency),
            browser: self.browser.or(lower.browser),
            headless_shell_path: self.headless_shell_path.or(lower.headless_shell_path),
            chromium_path: self.chromium_path.or(lower.chromium_path),
            browser_arg: self.browser_arg.or(lower.browser_arg),
            ignore_https_errors: self.ignore_https_errors.or(lower.ignore_https_errors),
            require_sandbox: self.require_sandbox.or(lower.require_sandbox),
            default_proxy: self.default_proxy.or(lower.default_proxy),
            relax_python: self.relax_python.or(lower.relax_python),
            shutdown_grace_s: self.shutdown_grace_s.or(lower.shutdown_grace_s),
            log_format: self.log_format.or(lower.log_format),
            log_filter: self.log_filter.or(lower.log_filter),
        }
    }
}
