//! The configuration of a server: read from flags, environment and file, validated once, valid from then on.
//!
//! Refuses unknown members, values out of range and files that cannot be read, each with a sentence that names the option.
//! Secrets (passwords of proxies and databases, keys of S3) never print.

mod blob_place;
mod browser_args;
mod database;
mod file;
mod installer;
mod node;
mod options;
mod retention;
mod roles;
mod secret_text;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keywright_domain::{BrowserChoice, LeaseTerms, ProxyUrl, RetentionPolicy, WorkerLabels};
use thiserror::Error;
use url::Url;

pub(crate) use blob_place::BlobPlace;
pub(crate) use database::DatabaseChoice;
pub(crate) use installer::installer;
pub(crate) use options::{BrowserName, LogFormat, ServeOptions};
pub(crate) use roles::Roles;

use self::blob_place::{AwsEnvironment, S3Written};
use self::node::TermsWritten;
use self::retention::RetentionWritten;

/// The database in a data folder.
pub(crate) const DATABASE_FILE: &str = "keywright.db";
/// The master key in a data folder.
pub(crate) const MASTER_KEY_FILE: &str = "master.key";
/// Who a data folder is to the other nodes.
pub(crate) const NODE_FILE: &str = "node.id";
/// Keeps a second process out of a data folder.
pub(crate) const NODE_LOCK_FILE: &str = "node.lock";
/// Most attempts one server may run at once.
const MAX_CONCURRENCY: usize = 256;
/// Longest time a shutdown may wait for running attempts.
const MAX_GRACE_SECONDS: u64 = 3_600;
/// How long it waits when nobody says: shorter than the 90 s service managers give by default.
const DEFAULT_GRACE_SECONDS: u64 = 60;
/// Longest time a load balancer may be given to move on.
const MAX_DRAIN_DELAY_SECONDS: u64 = 300;
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
    pub(crate) roles: Roles,
    pub(crate) data_dir: PathBuf,
    pub(crate) database: DatabaseChoice,
    pub(crate) blobs: BlobPlace,
    pub(crate) master_key_file: PathBuf,
    pub(crate) node_name: String,
    pub(crate) worker_labels: WorkerLabels,
    pub(crate) lease_terms: LeaseTerms,
    pub(crate) retention: RetentionPolicy,
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
    pub(crate) drain_delay: Duration,
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

    /// What deserves to be said about a valid configuration, for people.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (DatabaseChoice::Postgres { .. }, BlobPlace::Folder(folder)) = (&self.database, &self.blobs) {
            warnings.push(format!(
                "blobs are in {}: fine for one node, but other nodes of this database read and build only what lies in a folder \
                 that they share; give all of them the same s3:// address",
                folder.display()
            ));
        }
        warnings
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
        let drain_delay_seconds = options.drain_delay_s.unwrap_or(0);
        if drain_delay_seconds > MAX_DRAIN_DELAY_SECONDS {
            return Err(bad("drain-delay-s", format!("must be at most {MAX_DRAIN_DELAY_SECONDS}")));
        }
        let default_proxy = options.default_proxy.as_ref().map(|text| ProxyUrl::parse(text.reveal())).transpose();
        let roles = Roles::parse(options.roles)?;
        let s3 = S3Written {
            endpoint: options.s3_endpoint,
            region: options.s3_region,
            path_style: options.s3_path_style,
            allow_http: options.s3_allow_http,
        };
        Ok(Self {
            database: DatabaseChoice::parse(options.database_url, options.database_direct_url, &roles)?,
            blobs: BlobPlace::parse(options.blobs.as_deref(), &data_dir, s3, AwsEnvironment::read())?,
            master_key_file: options.master_key_file.unwrap_or_else(|| data_dir.join(MASTER_KEY_FILE)),
            node_name: node::name(options.node_name)?,
            worker_labels: node::labels(&options.worker_label.unwrap_or_default())?,
            lease_terms: node::terms(TermsWritten {
                ttl_ms: options.lease_ttl_ms,
                beat_ms: options.lease_beat_ms,
                fence_ms: options.lease_fence_ms,
                sweep_ms: options.lease_sweep_ms,
            })?,
            retention: retention::policy(RetentionWritten {
                runs_days: options.keep_runs_days,
                logs_days: options.keep_logs_days,
                traces_days: options.keep_traces_days,
                files_days: options.keep_files_days,
                gib_per_project: options.keep_gib_per_project,
            })?,
            roles,
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
            drain_delay: Duration::from_secs(drain_delay_seconds),
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
