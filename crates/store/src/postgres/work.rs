//! Work for the database: given to a task, tried again where that helps, and announced when it has changed something.
//!
//! Work may be tried several times, so it only borrows what it works on. Work that panics changes nothing.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PostgresStore;
use super::commit_fate::{find_out, jittered};
use super::data_keys;
use super::halt::{is_connection_lost, is_worth_another_try};
use super::hints::Announcer;
use super::link::Link;
use super::pools::{Lane, Pools};
use super::runs::SetAside;
use super::transaction::{CommitError, Tx};
use crate::halt::{Halt, InMethod as _};
use crate::{Clock, Signals, StoreError, Vault};

/// How often work is tried, the first time included.
const MAX_TRIES: u32 = 5;

/// The longest pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Begins a reading transaction behind a pooler, where a statement outside of one could be prepared on one server and asked
/// for on another.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SELECT set_config('statement_timeout', '5s', true)";

/// Begins a reading transaction that sees one moment and may take its time.
const BEGIN_SURVEY: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT set_config('statement_timeout', '300s', true)";

/// How long a survey waits for an answer. The server itself gives a statement of one up before that.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(310);

/// Something to be done in a transaction, on a borrowed input.
pub(super) type Writing<I, T> = for<'w> fn(&'w mut Tx, &'w I) -> BoxFuture<'w, Result<T, Halt>>;

/// Something to be read, on a borrowed input.
pub(super) type Reading<I, T> = for<'w> fn(&'w mut Link, &'w I) -> BoxFuture<'w, Result<T, Halt>>;

/// Where work is done.
pub(super) struct Desk {
    pub(super) pools: Pools,
    /// How to reach the server past a pooler.
    pub(super) direct: PgConnectOptions,
    /// Whether the pools lead to a transaction pooler.
    pub(super) is_pooled: bool,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) vault: Vault,
    pub(super) announcer: Announcer,
    pub(super) set_aside: SetAside,
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
}

impl PostgresStore {
    /// Has `work` done in a transaction.
    pub(super) async fn write<I, T>(
        &self,
        lane: Lane,
        context: &'static str,
        input: I,
        work: Writing<I, T>,
    ) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let desk = Arc::clone(&self.desk);
        self.given(context, async move { desk.write(lane, context, &input, work).await }).await
    }

    /// Has `work` done outside of a transaction, as far as it can tell.
    pub(super) async fn read<I, T>(
        &self,
        lane: Lane,
        context: &'static str,
        input: I,
        work: Reading<I, T>,
    ) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let desk = Arc::clone(&self.desk);
        self.given(context, async move { desk.read(lane, context, &input, work).await }).await
    }

    /// Has much read as of one moment.
    pub(super) async fn survey<I, T>(
        &self,
        lane: Lane,
        context: &'static str,
        input: I,
        work: Reading<I, T>,
    ) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let desk = Arc::clone(&self.desk);
        self.given(context, async move { desk.survey(lane, &input, work).await.in_method(context) }).await
    }

    async fn given<T: Send + 'static>(
        &self,
        context: &'static str,
        doing: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.desk.stop.is_cancelled() {
            return Err(StoreError::Unavailable("the store has been closed".into()));
        }
        match self.desk.tracker.spawn(doing).await {
            Ok(done) => done,
            Err(_) => Err(Halt::Misuse("the work panicked").in_method(context)),
        }
    }
}

impl Desk {
    /// Where commits announce themselves.
    pub(super) const fn signals(&self) -> &Signals {
        self.announcer.signals()
    }

    /// Takes no more work, finishes what was taken, and lets go of the database.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.pools.close().await;
    }

    async fn write<I, T>(&self, lane: Lane, context: &'static str, input: &I, work: Writing<I, T>) -> Result<T, StoreError>
    where
        I: Sync,
        T: Send,
    {
        let (mut pause, mut knows_all_keys) = (FIRST_PAUSE, false);
        for tries_left in (0..MAX_TRIES).rev() {
            let halt = match self.try_write(lane, input, work, knows_all_keys).await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                // A connection that had gone stale: nothing was begun on it.
                Err(Failure::Stale(error)) if tries_left > 0 => {
                    tracing::debug!(%error, context, "a stale connection is replaced");
                    continue;
                }
                Err(Failure::Stale(error)) => Halt::Sql(error),
                Err(Failure::RolledBack(halt)) => halt,
            };
            if tries_left > 0 && !knows_all_keys && is_unknown_key(&halt) {
                // Another node has made a workspace, or another key for one.
                self.learn_keys().await?;
                knows_all_keys = true;
            } else if tries_left > 0 && is_worth_another_try(&halt) {
                tracing::debug!(?halt, context, "two transactions were in each other's way");
                tokio::time::sleep(jittered(pause)).await;
                pause *= 2;
            } else {
                return Err(halt.in_method(context));
            }
        }
        Err(StoreError::Unavailable("the transaction was in others' way every time".into()))
    }

    async fn try_write<I, T>(&self, lane: Lane, input: &I, work: Writing<I, T>, knows_all_keys: bool) -> Result<T, Failure>
    where
        I: Sync,
        T: Send,
    {
        let connection = self.pools.acquire(lane).await.map_err(|error| Failure::RolledBack(Halt::Sql(error)))?;
        let mut tx = match Tx::begin(connection, !self.is_pooled, self.clock.as_deref()).await {
            Ok(tx) => tx,
            Err(Halt::Sql(error)) if is_connection_lost(&error) => return Err(Failure::Stale(error)),
            Err(halt) => return Err(Failure::RolledBack(halt)),
        };
        tx.knows_all_keys = knows_all_keys;
        let value = match work(&mut tx, input).await {
            Ok(value) => value,
            Err(halt) => {
                tx.roll_back().await;
                return Err(Failure::RolledBack(halt));
            }
        };
        match tx.commit().await {
            Ok(()) => {}
            Err(CommitError::RolledBack(halt)) => return Err(Failure::RolledBack(halt)),
            Err(CommitError::Unclear(cause)) => {
                find_out(&self.direct, tx.number(), cause).await.map_err(Failure::Final)?;
            }
        }
        if tx.has_changed() {
            self.announcer.announce();
        }
        Ok(value)
    }

    async fn read<I, T>(&self, lane: Lane, context: &'static str, input: &I, work: Reading<I, T>) -> Result<T, StoreError>
    where
        I: Sync,
        T: Send,
    {
        let mut knows_all_keys = false;
        for tries_left in (0..MAX_TRIES).rev() {
            let halt = match self.try_read(lane, input, work).await {
                Ok(value) => return Ok(value),
                Err(halt) => halt,
            };
            if tries_left > 0 && !knows_all_keys && is_unknown_key(&halt) {
                self.learn_keys().await?;
                knows_all_keys = true;
            } else if tries_left == 0 || !(is_worth_another_try(&halt) || matches!(&halt, Halt::Sql(error) if is_hung_up(error)))
            {
                return Err(halt.in_method(context));
            }
        }
        Err(StoreError::Unavailable("every connection was stale".into()))
    }

    async fn try_read<I, T>(&self, lane: Lane, input: &I, work: Reading<I, T>) -> Result<T, Halt>
    where
        I: Sync,
        T: Send,
    {
        let mut link = Link::new(self.pools.acquire(lane).await?, !self.is_pooled);
        if !self.is_pooled {
            return work(&mut link, input).await;
        }
        read_in_transaction(&mut link, BEGIN_READING, input, work).await
    }

    async fn survey<I, T>(&self, lane: Lane, input: &I, work: Reading<I, T>) -> Result<T, Halt>
    where
        I: Sync,
        T: Send,
    {
        let mut link = Link::new(self.pools.acquire(lane).await?, !self.is_pooled);
        link.set_answer_timeout(SURVEY_TIMEOUT);
        read_in_transaction(&mut link, BEGIN_SURVEY, input, work).await
    }

    /// Tells the vault of every data key that there is.
    async fn learn_keys(&self) -> Result<(), StoreError> {
        let mut link = Link::new(self.pools.acquire(Lane::Api).await.map_err(Halt::from).in_method("learn_keys")?, false);
        for key in data_keys::list(&mut link).await.in_method("learn_keys")? {
            self.vault.add_data_key(&key)?;
        }
        Ok(())
    }
}

async fn read_in_transaction<I: Sync, T: Send>(
    link: &mut Link,
    begin: &'static str,
    input: &I,
    work: Reading<I, T>,
) -> Result<T, Halt> {
    link.simple(begin).await?;
    let outcome = work(link, input).await;
    if link.simple("ROLLBACK").await.is_err() {
        link.throw_away();
    }
    outcome
}

/// Why one try of a write did not succeed.
enum Failure {
    /// Nothing was changed, and why is known.
    RolledBack(Halt),
    /// The connection was of no use; nothing was begun.
    Stale(sqlx::Error),
    /// There is nothing to be tried again.
    Final(StoreError),
}

/// Whether asking for the data keys again can help.
pub(super) fn is_unknown_key(halt: &Halt) -> bool {
    matches!(halt, Halt::Store(StoreError::Vault(error)) if error.is_unknown_key())
}

/// Whether the server had hung up, as opposed to not answering: then another connection may work.
fn is_hung_up(error: &sqlx::Error) -> bool {
    is_connection_lost(error) && !matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}
