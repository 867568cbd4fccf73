//! Three small pools, so that whoever has too much to do keeps nobody else from the database: requests of the API, what moves
//! by itself, and heartbeats.
//!
//! A connection that has been idle is asked whether it is still there before it is used; one that broke in use is thrown away.
//! Whoever gets no connection in time is told that the database is not available.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, Postgres};

use super::options::PostgresOptions;

/// How long anybody waits for a connection, a free one or a new one. With it the API says within five seconds that there is no
/// database.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);

/// A connection that was idle for longer is asked whether it still works before it is used.
const MAX_TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// A request of the API, whose caller waits.
    Api,
    /// The engine's.
    Engine,
    /// What keeps a worker alive.
    Heart,
}

/// A pool for each lane. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    api: PgPool,
    engine: PgPool,
    heart: PgPool,
}

impl Pools {
    /// Pools that connect when they are first used.
    pub(super) fn new(options: &PostgresOptions, connect: &PgConnectOptions) -> Self {
        let is_pooled = options.direct_url.is_some();
        let pool = |size: u32| {
            PgPoolOptions::new()
                .max_connections(size.max(1))
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .before_acquire(|connection, meta| {
                    Box::pin(async move {
                        if meta.idle_for > MAX_TRUSTED_IDLE {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                .after_connect(move |connection, _| {
                    Box::pin(async move {
                        // Behind a pooler every transaction sets this for itself.
                        if !is_pooled {
                            connection.execute("SET statement_timeout = '5s'").await?;
                        }
                        Ok(())
                    })
                })
                .connect_lazy_with(connect.clone())
        };
        Self {
            api: pool(options.api_connections),
            engine: pool(options.engine_connections),
            heart: pool(options.heart_connections),
        }
    }

    /// A connection for the lane, as soon as there is one.
    pub(super) async fn acquire(&self, lane: Lane) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let pool = match lane {
            Lane::Api => &self.api,
            Lane::Engine => &self.engine,
            Lane::Heart => &self.heart,
        };
        pool.acquire().await
    }

    /// Lets go of all connections, as soon as they are free.
    pub(super) async fn close(&self) {
        tokio::join!(self.api.close(), self.engine.close(), self.heart.close());
    }
}
