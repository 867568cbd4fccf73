//! The configuration of a server: read from flags, environment and file, validated once, valid from then on.
//!
//! Refuses unknown members, values out of range and files that cannot be read, each with a sentence that names the option.
//! Secrets (a proxy's password) never print.

mod browser_args;
mod file;
mod installer;
mod options;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keywright_domain::{BrowserChoice, ProxyUrl};
use thiserror::Error;
use url::Url;

pub(crate) use installer::installer;
pub(crate) use options::{BrowserName, LogFormat, ServeOptions};

/// The database in a data folder.
pub(crate) const DATABASE_FILE: &str = "keywright.db";
/// The master key in a data folder.
pub(crate) const MASTER_KEY_FILE: &str = "master.key";
/// Most attempts one server may run at once.
const MAX_CONCURRENCY: usize = 256;
/// Longest time a shutdown may wait for running attempts.
const MAX_GRACE_SECONDS: u64 = 3_600;
/// How long it waits when nobody says: shorter than the 90 s service managers give by default.
const DEFAULT_GRACE_SECONDS: u64 = 60;
/// Two pages in flight per machine of two cores buy all of its throughput; more only adds latency.
const MIN_DEFAULT_CONCURRENCY: usize = 2;

/// Where Debian's packages put the browsers.
const HEADLESS_SHELL_PATH: &str = "/usr/bin/chromium-headless-shell";
const CHROMIUM_PATH: &str = "/usr/bin/chromium";

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub(crate) enum InvalidConfig {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {path} is not valid: {why}")]
    File { path: PathBuf, why: String },
    /// An option has a value it cannot have.
    #[error("bad `{option}`: {why}")]
    Value { option: &'static str, why: String },
}

/// A valid configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    /// What links in answers start with; made from the listening address when absent.
    pub(crate) base_url: Option<String>,
    pub(crate) runtime_dir: PathBuf,
    pub(crate) concurrency: usize,
    pub(crate) browser: BrowserChoice,
    pub(crate) headless_shell_path: PathBuf,
    pub(crate) chromium_path: PathBuf,
    pub(crate) browser_args: Vec<String>,
    pub(crate) ignore_https_errors: bool,
    pub(crate) require_sandbox: bool,
    pub(crate) default_proxy: Option<ProxyUrl>,
    pub(crate) relax_python: bool,
    pub(crate) shutdown_grace: Duration,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
}

impl Config {
    /// Puts flags and environment over the file, fills in defaults and validates.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub(crate) fn load(options: ServeOptions) -> Result<Self, InvalidConfig> {
        let options = match options.config.clone() {
            Some(path) => options.over(file::read(&path)?),
            None => options,
        };
        Self::validate(options)
    }

    /// Refuses a browser that is not there: the one that projects get by default, and any that was named.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub(crate) fn require_browser(&self) -> Result<(), InvalidConfig> {
        for (option, path, default, choice) in [
            ("headless-shell-path", &self.headless_shell_path, HEADLESS_SHELL_PATH, BrowserChoice::HeadlessShell),
            ("chromium-path", &self.chromium_path, CHROMIUM_PATH, BrowserChoice::Chromium),
        ] {
            let is_needed = self.browser == choice || path != Path::new(default);
            if is_needed && !path.is_file() {
                let why = format!("there is no {}; install Debian's package, or say where the browser is", path.display());
                return Err(bad(option, why));
            }
        }
        Ok(())
    }

    fn validate(options: ServeOptions) -> Result<Self, InvalidConfig> {
        let data_dir = options.data_dir.ok_or_else(|| bad("data-dir", "is missing; name the folder that holds everything"))?;
        let cores = std::thread::available_parallelism().map_or(MIN_DEFAULT_CONCURRENCY, std::num::NonZero::get);
        let concurrency = options.concurrency.unwrap_or(cores.clamp(MIN_DEFAULT_CONCURRENCY, MAX_CONCURRENCY));
        if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
            return Err(bad("concurrency", format!("must be from 1 to {MAX_CONCURRENCY}")));
        }
        let grace_seconds = options.shutdown_grace_s.unwrap_or(DEFAULT_GRACE_SECONDS);
        if grace_seconds > MAX_GRACE_SECONDS {
            return Err(bad("shutdown-grace-s", format!("must be at most {MAX_GRACE_SECONDS}")));
        }
        let browser_args = options.browser_arg.unwrap_or_default();
        browser_args::check(&browser_args)?;
        let default_proxy = options.default_proxy.as_deref().map(ProxyUrl::parse).transpose();
        Ok(Self {
            listen: options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            base_url: options.base_url.as_deref().map(base_url).transpose()?,
            runtime_dir: options.runtime_dir.unwrap_or_else(|| data_dir.join("runtime")),
            concurrency,
            browser: match options.browser.unwrap_or(BrowserName::ChromiumHeadlessShell) {
                BrowserName::ChromiumHeadlessShell => BrowserChoice::HeadlessShell,
                BrowserName::Chromium => BrowserChoice::Chromium,
            },
            headless_shell_path: options.headless_shell_path.unwrap_or_else(|| HEADLESS_SHELL_PATH.into()),
            chromium_path: options.chromium_path.unwrap_or_else(|| CHROMIUM_PATH.into()),
            browser_args,
            ignore_https_errors: options.ignore_https_errors.unwrap_or(false),
            require_sandbox: options.require_sandbox.unwrap_or(false),
            default_proxy: default_proxy.map_err(|error| bad("default-proxy", error))?,
            relax_python: options.relax_python.unwrap_or(false),
            shutdown_grace: Duration::from_secs(grace_seconds),
            log_format: options.log_format.unwrap_or(LogFormat::Text),
            log_filter: options.log_filter.unwrap_or_else(|| "info".to_owned()),
            data_dir,
        })
    }
}

fn base_url(text: &str) -> Result<String, InvalidConfig> {
    let url = Url::parse(text).map_err(|_| bad("base-url", "is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("base-url", "must be http:// or https://, without query and fragment"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn bad(option: &'static str, why: impl std::fmt::Display) -> InvalidConfig {
    InvalidConfig::Value { option, why: why.to_string() }
}

#[cfg(test)]
mod tests;
