//! `keywright serve`: puts the parts together as the roles ask for them, says in one line on stdout that it is ready, and
//! takes them apart on TERM.
//!
//! Order of the start: data folder (whose lock keeps a second process out), keys, database, blobs, listener, runners, engine,
//! API, and last the first API key. If the process dies anywhere in it, the next start finds a valid folder. Order of the end:
//! `/health/ready` answers 503 and no more work is taken, both at once; running attempts get their grace unless TERM or INT
//! comes a second time, and requests are served meanwhile; then the port closes, requests that are under way end, slots end,
//! the worker has retired, the process exits 0.

mod broken_disk;
mod condition;
mod first_key;
mod hands;
pub(crate) mod node;
mod signals;
pub(crate) mod storage;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keywright_api::AppState;
use keywright_engine::{Engine, EngineParts, EngineRoles, Identity};
use keywright_store::{Clock, Entropy, FileLinks, Supersedes, SystemClock, SystemEntropy};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::condition::Condition;
use self::hands::Hands;
use self::node::Node;
use self::signals::Signals;
use self::storage::Storage;
use crate::config::{Config, DatabaseChoice, ServeOptions};

/// How long requests that are under way may take once the port is closed.
const MAX_REQUEST_GRACE: Duration = Duration::from_secs(10);

/// Why a server ends.
enum End {
    /// Somebody asked for it.
    Signal(&'static str),
    /// The database's disk is broken; the error in words.
    BrokenDisk(String),
}

/// Runs the server until TERM or INT.
pub(crate) async fn serve(options: Box<ServeOptions>) -> anyhow::Result<()> {
    let config = Config::load(*options)?;
    let stub = stub(&config)?;
    if config.roles.is_worker() && stub.is_none() {
        config.require_browser()?;
    }
    crate::logging::start(&config);
    crate::logging::hide_panic_messages();
    keywright_runner::keep_memory_private().context("the memory of the server cannot be kept private")?;
    #[cfg(feature = "failpoints")]
    crate::failpoints::arm();
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }

    // Signals are caught before anything is started, so that none can end us half-way.
    let mut signals = Signals::catch()?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let node = Node::take(&config.data_dir, entropy.as_ref())?;
    let Storage { masters, store, blobs } = Storage::open(&config, Arc::clone(&clock), Arc::clone(&entropy)).await?;

    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let url = format!("http://{}", listener.local_addr().context("the listener has no address")?);
    let links = FileLinks::new(config.base_url.clone().unwrap_or_else(|| url.clone()), masters);

    let hands = match (stub, config.roles.is_worker()) {
        (_, false) => Hands::none(),
        (Some(hands), true) => hands,
        // Installing what runners need can take minutes, during which a signal counts too.
        (None, true) => tokio::select! {
            hands = Hands::of_worker(&config) => hands?,
            name = signals.next() => {
                tracing::info!("{name}: ended before it was ready");
                return Ok(());
            }
        },
    };
    for line in hands.protections().into_iter().flat_map(keywright_runner::Protections::lines) {
        tracing::info!("{line}");
    }
    let engine = Engine::start(EngineParts {
        store: Arc::clone(&store),
        blobs: blobs.clone(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        executor: Arc::clone(&hands.executor),
        builder: Arc::clone(&hands.builder),
        links: links.clone(),
        concurrency: config.concurrency,
        default_proxy: config.default_proxy.clone(),
        default_browser: config.browser,
        roles: EngineRoles { is_worker: config.roles.is_worker(), is_scheduler: config.roles.is_scheduler() },
        identity: identity(&config, &node),
        labels: config.worker_labels.clone(),
        terms: config.lease_terms,
        retention: config.retention,
    })
    .await
    .context("the engine cannot start")?;
    let engine = Arc::new(engine);

    let condition = Arc::new(Condition::new(&config, &node, hands.protections(), Arc::clone(&engine)));
    let state = AppState {
        store: Arc::clone(&store),
        blobs,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        links,
        default_proxy: config.default_proxy.clone(),
        vitals: Arc::<Condition>::clone(&condition),
    };
    let router = if config.roles.is_api() { keywright_api::router(state) } else { keywright_api::health_router(state) };
    let closing = CancellationToken::new();
    let api = keywright_api::serve(listener, router, closing.clone());
    tokio::pin!(api);

    let workspace = match config.roles.is_api() {
        true => Some(first_key::bootstrap(store.as_ref(), entropy.as_ref()).await?),
        false => None,
    };
    first_key::announce(&url, &config.roles, workspace)?;
    let end = tokio::select! {
        () = &mut api => anyhow::bail!("the API ended by itself"),
        name = signals.next() => End::Signal(name),
        why = broken_disk(&config, store.as_ref(), clock.as_ref()) => End::BrokenDisk(why),
    };

    condition.end();
    let ended_well = match &end {
        End::Signal(name) => {
            tracing::info!("{name}: ending");
            Ok(())
        }
        End::BrokenDisk(why) => Err(anyhow::anyhow!("the database's file cannot be written: {why}")),
    };
    // Whoever asks a second time does not want to wait, and nothing that ends on a broken disk could be stored.
    let at_once = CancellationToken::new();
    if matches!(end, End::BrokenDisk(_)) {
        at_once.cancel();
    }
    let impatience = async {
        let name = signals.next().await;
        tracing::info!("{name} again: ending at once");
        at_once.cancel();
        std::future::pending::<()>().await;
    };
    // Whoever waits for a result that is being made can still fetch it here.
    let drained = async {
        tokio::join!(engine.stop(wait(config.shutdown_grace, &at_once)), wait(config.drain_delay, &at_once));
    };
    tokio::select! {
        () = impatience => {}
        () = drained => {}
        () = &mut api => anyhow::bail!("the API ended by itself"),
    }
    closing.cancel();
    if tokio::time::timeout(MAX_REQUEST_GRACE, &mut api).await.is_err() {
        tracing::warn!("some requests were still under way and were cut off");
    }
    hands.close().await;
    store.close().await;
    ended_well
}

/// Waits so long, or until nobody wants to wait any more.
async fn wait(time: Duration, at_once: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = at_once.cancelled() => {}
    }
}

fn identity(config: &Config, node: &Node) -> Identity {
    Identity {
        node: node.id.clone(),
        host: config.node_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        supersedes: match config.database {
            // The database's lock is ours, so nobody else is alive.
            DatabaseChoice::Sqlite => Supersedes::Everybody,
            DatabaseChoice::Postgres { .. } => Supersedes::EarlierLivesOfNode,
        },
    }
}

/// Returns when the disk under SQLite is broken for good. PostgreSQL looks after its own.
async fn broken_disk(config: &Config, store: &dyn keywright_store::Store, clock: &dyn Clock) -> String {
    match config.database {
        DatabaseChoice::Sqlite => broken_disk::lasting(store, clock, &config.data_dir).await,
        DatabaseChoice::Postgres { .. } => std::future::pending().await,
    }
}

/// The hands that a test asks for instead of runners and browsers.
#[cfg(feature = "failpoints")]
fn stub(_config: &Config) -> anyhow::Result<Option<Hands>> {
    use crate::stub_executor::{StubBuilder, StubExecutor};

    let stub = StubExecutor::from_environment(Arc::new(SystemClock)).context("the journal cannot be opened")?;
    Ok(stub.map(|executor| Hands::of(Arc::new(executor), Arc::new(StubBuilder))))
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "its twin can fail")]
const fn stub(_config: &Config) -> anyhow::Result<Option<Hands>> {
    Ok(None)
}
