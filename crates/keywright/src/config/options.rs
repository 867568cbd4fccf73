//! The options of `serve` as they are written, before anybody knows whether they make sense. The same type is the flags, the
//! environment and the file, so that none of the three can have an option the others lack.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::roles::RoleName;
use super::secret_text::SecretText;

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
    /// What this process does [default: all]; some of api, scheduler, worker need a PostgreSQL that all of them share
    #[arg(long, env = "KEYWRIGHT_ROLES", value_delimiter = ',')]
    pub(crate) roles: Option<Vec<RoleName>>,
    /// Folder that holds everything that is not elsewhere: database, key file, blobs, deployments
    #[arg(long, env = "KEYWRIGHT_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// PostgreSQL as postgres://…, instead of SQLite in DATA_DIR; better given by the environment or the file, where other
    /// users cannot see its password
    #[arg(long, env = "KEYWRIGHT_DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<SecretText>,
    /// The same database without the transaction pooler, when DATABASE_URL is one
    #[arg(long, env = "KEYWRIGHT_DATABASE_DIRECT_URL", hide_env_values = true)]
    pub(crate) database_direct_url: Option<SecretText>,
    /// Where archives, logs, traces and files go: a folder, or s3://BUCKET/PREFIX with the credentials of AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN [default: DATA_DIR/blobs]
    #[arg(long, env = "KEYWRIGHT_BLOBS")]
    pub(crate) blobs: Option<String>,
    /// S3 server other than Amazon's: http:// or https://, host and port
    #[arg(long, env = "KEYWRIGHT_S3_ENDPOINT")]
    pub(crate) s3_endpoint: Option<String>,
    /// Region of the bucket [default: AWS_REGION, or us-east-1 with S3_ENDPOINT]
    #[arg(long, env = "KEYWRIGHT_S3_REGION")]
    pub(crate) s3_region: Option<String>,
    /// Name the bucket in the path and not in the host [default: true with S3_ENDPOINT]
    #[arg(long, env = "KEYWRIGHT_S3_PATH_STYLE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) s3_path_style: Option<bool>,
    /// Let S3_ENDPOINT be plain http:// to another machine
    #[arg(long, env = "KEYWRIGHT_S3_ALLOW_HTTP", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) s3_allow_http: Option<bool>,
    /// File of the master key; every node of one database needs the same [default: DATA_DIR/master.key]
    #[arg(long, env = "KEYWRIGHT_MASTER_KEY_FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// What this node is called [default: the machine's name]
    #[arg(long, env = "KEYWRIGHT_NODE_NAME")]
    pub(crate) node_name: Option<String>,
    /// What this worker offers to projects that ask for it; repeatable, or separated by commas
    #[arg(long, env = "KEYWRIGHT_WORKER_LABEL", value_delimiter = ',')]
    pub(crate) worker_label: Option<Vec<String>>,
    /// How long a worker's lease lasts without renewal [default: 30000]; the same on all nodes
    #[arg(long, env = "KEYWRIGHT_LEASE_TTL_MS")]
    pub(crate) lease_ttl_ms: Option<u32>,
    /// How often it is renewed [default: 5000]
    #[arg(long, env = "KEYWRIGHT_LEASE_BEAT_MS")]
    pub(crate) lease_beat_ms: Option<u32>,
    /// How long without a renewal a worker goes on before it ends what it runs [default: 25000]
    #[arg(long, env = "KEYWRIGHT_LEASE_FENCE_MS")]
    pub(crate) lease_fence_ms: Option<u32>,
    /// How often lapsed leases are looked for [default: 5000]
    #[arg(long, env = "KEYWRIGHT_LEASE_SWEEP_MS")]
    pub(crate) lease_sweep_ms: Option<u32>,
    /// Days that ended runs are kept, with their results and attempts; 0 for ever [default: 30]
    #[arg(long, env = "KEYWRIGHT_KEEP_RUNS_DAYS")]
    pub(crate) keep_runs_days: Option<u64>,
    /// Days that logs of attempts are kept; 0 for ever [default: 30]
    #[arg(long, env = "KEYWRIGHT_KEEP_LOGS_DAYS")]
    pub(crate) keep_logs_days: Option<u64>,
    /// Days that traces of attempts are kept; 0 for ever [default: 7]
    #[arg(long, env = "KEYWRIGHT_KEEP_TRACES_DAYS")]
    pub(crate) keep_traces_days: Option<u64>,
    /// Days that files stored by user code are kept; 0 for ever [default: 30]
    #[arg(long, env = "KEYWRIGHT_KEEP_FILES_DAYS")]
    pub(crate) keep_files_days: Option<u64>,
    /// GiB of logs, traces and files kept for one project, the newest; 0 without limit [default: 10]
    #[arg(long, env = "KEYWRIGHT_KEEP_GIB_PER_PROJECT")]
    pub(crate) keep_gib_per_project: Option<u64>,
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
    pub(crate) default_proxy: Option<SecretText>,
    /// Deploy Python projects on the nearest interpreter when theirs is not installed, with a warning
    #[arg(long, env = "KEYWRIGHT_RELAX_PYTHON", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) relax_python: Option<bool>,
    /// Seconds after TERM in which requests are still served while /health/ready answers 503, so that a load balancer moves
    /// on before the port closes [default: 0]
    #[arg(long, env = "KEYWRIGHT_DRAIN_DELAY_S")]
    pub(crate) drain_delay_s: Option<u64>,
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
            roles: self.roles.or(lower.roles),
            data_dir: self.data_dir.or(lower.data_dir),
            database_url: self.database_url.or(lower.database_url),
            database_direct_url: self.database_direct_url.or(lower.database_direct_url),
            blobs: self.blobs.or(lower.blobs),
            s3_endpoint: self.s3_endpoint.or(lower.s3_endpoint),
            s3_region: self.s3_region.or(lower.s3_region),
            s3_path_style: self.s3_path_style.or(lower.s3_path_style),
            s3_allow_http: self.s3_allow_http.or(lower.s3_allow_http),
            master_key_file: self.master_key_file.or(lower.master_key_file),
            node_name: self.node_name.or(lower.node_name),
            worker_label: self.worker_label.or(lower.worker_label),
            lease_ttl_ms: self.lease_ttl_ms.or(lower.lease_ttl_ms),
            lease_beat_ms: self.lease_beat_ms.or(lower.lease_beat_ms),
            lease_fence_ms: self.lease_fence_ms.or(lower.lease_fence_ms),
            lease_sweep_ms: self.lease_sweep_ms.or(lower.lease_sweep_ms),
            keep_runs_days: self.keep_runs_days.or(lower.keep_runs_days),
            keep_logs_days: self.keep_logs_days.or(lower.keep_logs_days),
            keep_traces_days: self.keep_traces_days.or(lower.keep_traces_days),
            keep_files_days: self.keep_files_days.or(lower.keep_files_days),
            keep_gib_per_project: self.keep_gib_per_project.or(lower.keep_gib_per_project),
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
            drain_delay_s: self.drain_delay_s.or(lower.drain_delay_s),
            shutdown_grace_s: self.shutdown_grace_s.or(lower.shutdown_grace_s),
            log_format: self.log_format.or(lower.log_format),
            log_filter: self.log_filter.or(lower.log_filter),
        }
    }
}
