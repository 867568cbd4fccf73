//! Hints between processes: a commit here wakes those who wait elsewhere, and theirs wake us.
//!
//! A hint is a NOTIFY on a statement of its own, outside of the transaction it is about, because notifying inside would make
//! all commits of the database wait for each other; and at most one every 80 ms. It says who sent it, so that nobody wakes
//! himself, and nothing else. Losing one costs a little time and never a fact: whoever waits also looks by himself. While the
//! connection that listens is down, time alone is taken as a hint.

use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::commit_fate::jittered;
use super::pools::{Lane, Pools};
use crate::{Entropy, Signals, SystemEntropy};

/// Where hints are sent; channels belong to one database.
const CHANNEL: &str = "keywright";

/// The shortest time between two hints of one process.
const HINT_INTERVAL: Duration = Duration::from_millis(80);

/// How long a hint may take. It is worth nothing afterwards.
const HINT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often time is taken as a hint while nothing can be heard.
const DEAF_INTERVAL: Duration = Duration::from_millis(1_500);

/// How long connecting and subscribing may take.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A silent connection is asked after this long whether it is still there.
const MAX_SILENCE: Duration = Duration::from_secs(15);

/// The pause before the first reconnection, doubled up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// The longest pause between two reconnections.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Says that something was committed, here at once and elsewhere soon.
#[derive(Clone)]
pub(super) struct Announcer {
    signals: Signals,
    wanted: Arc<Notify>,
}

impl Announcer {
    /// Announces to `signals`, and to other processes once [`Hints`] are there.
    pub(super) fn new(signals: Signals) -> Self {
        Self { signals, wanted: Arc::new(Notify::new()) }
    }

    /// Where commits are announced in this process.
    pub(super) const fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Announces a commit.
    pub(super) fn announce(&self) {
        self.signals.announce();
        self.wanted.notify_one();
    }
}

/// The tasks that send and hear hints.
pub(super) struct Hints {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Hints {
    /// Starts sending over `pools` and listening over a connection of its own.
    pub(super) async fn start(announcer: &Announcer, pools: Pools, direct: PgConnectOptions) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let bytes: [u8; 8] = (&SystemEntropy as &dyn Entropy).bytes();
        let ours: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let ear = Ear { direct, signals: announcer.signals.clone(), ours: ours.clone() };
        // Whoever has opened the store hears everything that is committed from then on.
        let listener = ear.subscribe().await;
        tracker.spawn(send(Arc::clone(&announcer.wanted), pools, ours, stop.clone()));
        tracker.spawn(ear.listen(listener, stop.clone()));
        tracker.close();
        Self { stop, tracker }
    }

    /// Ends both.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.wait().await;
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn send(wanted: Arc<Notify>, pools: Pools, ours: String, stop: CancellationToken) {
    // Hexadecimal digits, and a channel that is a constant.
    let statement = format!("NOTIFY {CHANNEL}, '{ours}'");
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = wanted.notified() => {}
        }
        let sending = async {
            let mut connection = pools.acquire(Lane::Api).await?;
            match sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *connection).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    drop(connection.detach());
                    Err(error)
                }
            }
        };
        match tokio::time::timeout(HINT_TIMEOUT, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "other processes were not told of a commit"),
            Err(_) => tracing::debug!("other processes were not told of a commit in time"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HINT_INTERVAL) => {}
        }
    }
}

/// What listens.
struct Ear {
    direct: PgConnectOptions,
    signals: Signals,
    /// How our own hints are signed.
    ours: String,
}

impl Ear {
    /// A connection that hears hints, or nothing when there is none to be had.
    async fn subscribe(&self) -> Option<PgListener> {
        let subscribing = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(LISTEN_TIMEOUT)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_lazy_with(self.direct.clone());
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        match tokio::time::timeout(LISTEN_TIMEOUT, subscribing).await {
            Ok(Ok(listener)) => Some(listener),
            Ok(Err(error)) => {
                tracing::warn!(%error, "commits of other processes are not heard");
                None
            }
            Err(_) => {
                tracing::warn!("commits of other processes are not heard: the database did not answer in time");
                None
            }
        }
    }

    async fn listen(self, mut listener: Option<PgListener>, stop: CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            if let Some(heard) = listener.take() {
                backoff = FIRST_BACKOFF;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.hear(heard) => {}
                }
                tracing::warn!("commits of other processes are not heard for now");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wait_deaf(jittered(backoff)) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
            listener = tokio::select! {
                () = stop.cancelled() => return,
                listener = self.subscribe() => listener,
            };
            // What was committed while nothing could be heard.
            self.signals.announce();
        }
    }

    /// Passes hints on until the connection is gone.
    async fn hear(&self, mut listener: PgListener) {
        loop {
            match tokio::time::timeout(MAX_SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(hint))) if hint.payload() == self.ours => {}
                Ok(Ok(Some(_))) => self.signals.announce(),
                Ok(Ok(None)) => return,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the connection that listens failed");
                    return;
                }
                Err(_) => {
                    let asking = sqlx::raw_sql("SELECT 1").execute(&mut listener);
                    if !matches!(tokio::time::timeout(LISTEN_TIMEOUT, asking).await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits, and takes the passing time as a hint.
    async fn wait_deaf(&self, whole: Duration) {
        let mut left = whole;
        while !left.is_zero() {
            self.signals.announce();
            let step = left.min(DEAF_INTERVAL);
            tokio::time::sleep(step).await;
            left = left.saturating_sub(step);
        }
    }
}
