//! `keywright serve`: puts the parts together, says in one line on stdout that it is ready, and takes them apart on TERM.
//!
//! Order of the start: data folder, key, database (whose lock keeps a second server out), listener, runners, engine, API, and
//! last the first API key, so that a start that fails has not made a key that nobody saw. If the process dies anywhere in it,
//! the next start finds a valid folder. Order of the end: no new requests, no new claims, running attempts get their grace
//! unless TERM or INT comes a second time, slots end, the process exits 0.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keywright_api::AppState;
use keywright_domain::WorkspaceId;
use keywright_engine::{Engine, EngineParts};
use keywright_runner::{BrowserConfig, Builder, BuilderConfig, Pool, PoolConfig, RuntimePaths, SandboxPolicy};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{Blobs, Bootstrap, Clock, Entropy, FileLinks, MasterKey, NewKey, Store, SystemClock, SystemEntropy, Vault};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::adapter::{PoolExecutor, ProjectBuilder};
use crate::config::{Config, DATABASE_FILE, MASTER_KEY_FILE, ServeOptions};

/// How long requests that are under way may take once the server ends.
const MAX_REQUEST_GRACE: Duration = Duration::from_secs(10);

/// Runs the server until TERM or INT.
pub(crate) async fn serve(options: Box<ServeOptions>) -> anyhow::Result<()> {
    let config = Config::load(*options)?;
    config.require_browser()?;
    crate::logging::start(&config);
    crate::logging::hide_panic_messages();
    keywright_runner::keep_memory_private().context("the memory of the server cannot be kept private")?;
    #[cfg(feature = "failpoints")]
    crate::failpoints::arm();

    // Signals are caught before anything is started, so that none can end us half-way.
    let mut signals = Signals::catch()?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    make_private_folder(&config.data_dir)?;
    let master = MasterKey::load_or_create(&config.data_dir.join(MASTER_KEY_FILE), entropy.as_ref())?;
    let link_key = master.derive("file links");
    let vault = Vault::new(master, Arc::clone(&entropy));
    let database = SqliteStore::open(&config.data_dir.join(DATABASE_FILE), vault.clone()).await;
    let database = Arc::new(database.context("the database cannot be opened")?);
    let store: Arc<dyn Store> = Arc::clone(&database) as _;
    let blobs = Blobs::in_folder(&config.data_dir.join("blobs"), vault).context("the blob folder cannot be used")?;

    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let url = format!("http://{}", listener.local_addr().context("the listener has no address")?);
    let links = FileLinks::new(config.base_url.clone().unwrap_or_else(|| url.clone()), link_key);

    // Installing what runners need can take minutes, during which a signal counts too.
    let (pool, builder) = tokio::select! {
        parts = start_runners(&config) => parts?,
        name = signals.next() => {
            tracing::info!("{name}: ended before it was ready");
            return Ok(());
        }
    };
    for line in pool.protections().lines() {
        tracing::info!("{line}");
    }
    let engine = Engine::start(EngineParts {
        store: Arc::clone(&store),
        blobs: blobs.clone(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        executor: Arc::new(PoolExecutor(pool.clone())),
        builder: Arc::new(ProjectBuilder { builder, relax_python: config.relax_python }),
        links: links.clone(),
        concurrency: config.concurrency,
        default_proxy: config.default_proxy.clone(),
        default_browser: config.browser,
    })
    .await
    .context("the engine cannot start")?;

    let health = json!({"version": env!("CARGO_PKG_VERSION"), "protections": pool.protections()});
    let router = keywright_api::router(AppState {
        store: Arc::clone(&store),
        blobs,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        links,
        default_proxy: config.default_proxy.clone(),
        health,
    });
    let shutdown = CancellationToken::new();
    let api = keywright_api::serve(listener, router, shutdown.clone());
    tokio::pin!(api);

    let (workspace, first_key) = bootstrap(store.as_ref(), clock.as_ref(), entropy.as_ref()).await?;
    announce(&url, &workspace, first_key.as_deref())?;
    tokio::select! {
        () = &mut api => anyhow::bail!("the API ended by itself"),
        name = signals.next() => tracing::info!("{name}: ending"),
    }
    shutdown.cancel();
    if tokio::time::timeout(MAX_REQUEST_GRACE, &mut api).await.is_err() {
        tracing::warn!("some requests were still under way and were cut off");
    }
    let grace = async {
        tokio::select! {
            () = tokio::time::sleep(config.shutdown_grace) => {}
            name = signals.next() => tracing::info!("{name} again: ending at once"),
        }
    };
    engine.stop(grace).await;
    pool.close().await;
    database.close().await;
    Ok(())
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot catch TERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot catch INT")?,
        })
    }

    /// Waits for the next one; its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "TERM",
            _ = self.interrupt.recv() => "INT",
        }
    }
}

async fn start_runners(config: &Config) -> anyhow::Result<(Pool, Builder)> {
    let installer = crate::config::installer();
    let runtime =
        RuntimePaths::ensure(&config.runtime_dir, &installer).await.context("the runner environments cannot be installed")?;
    let deployments = config.data_dir.join("deployments");
    let builder = Builder::open(BuilderConfig {
        runtime: runtime.clone(),
        deployments: deployments.clone(),
        scratch: config.data_dir.join("builds"),
        installer,
    })
    .await
    .context("the builder cannot start")?;
    let pool = Pool::open(PoolConfig {
        runtime,
        deployments,
        slots: config.data_dir.join("slots"),
        traces: config.data_dir.join("traces"),
        concurrency: config.concurrency,
        browser: BrowserConfig {
            headless_shell: config.headless_shell_path.clone(),
            chromium: config.chromium_path.clone(),
            args: config.browser_args.clone(),
            ignore_https_errors: config.ignore_https_errors,
        },
        sandbox: if config.require_sandbox { SandboxPolicy::Required } else { SandboxPolicy::WhereAllowed },
    })
    .await
    .context("the worker cannot start")?;
    Ok((pool, builder))
}

/// Makes the first workspace and its key at the very first start; the key is returned only then.
async fn bootstrap(store: &dyn Store, clock: &dyn Clock, entropy: &dyn Entropy) -> anyhow::Result<(WorkspaceId, Option<String>)> {
    let offered = WorkspaceId::from_entropy(entropy.bytes());
    let (new, key) = NewKey::generate("first".to_owned(), entropy);
    match store.bootstrap(&offered, new, clock.now()).await.context("the first workspace cannot be made")? {
        Bootstrap::Created => Ok((offered, Some(key.into_inner()))),
        Bootstrap::Existing(workspace) => Ok((workspace, None)),
    }
}

/// The one line on stdout.
fn announce(url: &str, workspace: &WorkspaceId, first_key: Option<&str>) -> anyhow::Result<()> {
    use std::io::Write as _;

    let mut line = json!({"url": url, "workspaceId": workspace.as_str()});
    if let Some(key) = first_key {
        line["apiKey"] = json!(key);
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("stdout cannot be written")
}

/// The data folder, which nobody else on the machine may look into.
fn make_private_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("the data folder {} cannot be used", folder.display()))
}
