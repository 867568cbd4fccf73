//! The one writer, with group commit: whatever is waiting is written in one transaction, each piece of work in a savepoint
//! of its own, and all of it is answered after the one flush to disk.
//!
//! Work that fails takes back its own changes only. When the transaction as a whole fails (a full disk, say), everybody in
//! it is told so, the connection is thrown away and the next transaction starts on a new one, so the writer recovers by
//! itself as soon as the database does. Where the flush itself failed, nobody is told that nothing happened. On a full disk
//! the reserve of space is given up, and until there is room again only what ends something is written (`ballast.rs`). Work
//! that was sent is done even if its sender has gone away meanwhile.
//!
//! If the process dies here, what was answered is on disk, and of what was not answered there is all or nothing of the
//! batch.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use keywright_domain::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteError};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ballast::Ballast;
use super::clock::SteadyClock;
use super::halt::{is_failed_flush, is_full, is_locked};
use super::open::check_durability;
use super::wal::Wal;
use crate::halt::{Halt, is_unavailable};
use crate::{Clock, Signals, StoreError};

/// Most work in one transaction. Enough to share a slow disk's flush among everybody who waits; few enough that the first
/// of them does not wait long for the last.
const MAX_BATCH: usize = 128;

/// Most work that waits. Beyond it senders wait to be let in, which is what slows a flood of requests down.
const MAX_QUEUED: usize = 1_024;

/// Takes work for the one writing connection.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Queued>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Writer {
    /// Starts writing through `connection`; opens further ones with `options` when that one fails. Keeps `lock` until the
    /// last work is done; a guest, who writes beside a server, has none.
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        clock: Arc<dyn Clock>,
        signals: Signals,
        ballast: Ballast,
        lock: Option<File>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_QUEUED);
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let wal = Wal::of(options.get_filename());
        let desk = Desk { connection: Some(connection), options, clock: SteadyClock::new(clock), wal, ballast, signals };
        tracker.spawn(desk.serve(waiting, stop.clone(), lock));
        tracker.close();
        Self { queue, stop, tracker }
    }

    /// Has `work` done in a transaction, at a moment that is no earlier than that of any work before it, and answers when it is
    /// on disk.
    pub(super) async fn write<T, F>(&self, context: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection, Timestamp) -> BoxFuture<'c, Result<T, Halt>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Job { context, work: Some(Box::new(work)), outcome: None, reply };
        self.queue.send(Box::new(job)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Takes no more work, finishes what was taken, and closes the connection.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.wait().await;
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has been stopped".into())
}

type Work<T> = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection, Timestamp) -> BoxFuture<'c, Result<T, Halt>> + Send>;

/// A transaction that failed as a whole, for everybody who was in it.
#[derive(Clone, Debug, Error)]
#[error("the transaction failed")]
struct Broken {
    is_unavailable: bool,
    /// Its commit is written and could not be flushed: it is undone for now, and comes back if the process dies before the
    /// next one is written over it. Nobody may be told that it did not happen.
    is_in_doubt: bool,
    #[source]
    cause: Arc<sqlx::Error>,
}

impl From<sqlx::Error> for Broken {
    fn from(cause: sqlx::Error) -> Self {
        Self { is_unavailable: is_unavailable(&cause), is_in_doubt: false, cause: Arc::new(cause) }
    }
}

/// A piece of work with whoever waits for it.
struct Job<T> {
    context: &'static str,
    work: Option<Work<T>>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

/// A [`Job`], whatever it answers.
#[async_trait]
trait Queued: Send {
    /// Does the work; whether its changes are to be kept.
    async fn run(&mut self, connection: &mut SqliteConnection, now: Timestamp) -> bool;

    /// Which method it is of.
    fn method(&self) -> &'static str;

    /// Whether it found the disk full.
    fn has_met_full_disk(&self) -> bool;

    /// Whether it failed by something that may pass.
    fn has_failed_for_now(&self) -> bool;

    /// Makes it a failure, unless it failed by itself.
    fn fail(&mut self, broken: &Broken);

    /// Tells whoever waits.
    fn answer(self: Box<Self>);
}

#[async_trait]
impl<T: Send + 'static> Queued for Job<T> {
    async fn run(&mut self, connection: &mut SqliteConnection, now: Timestamp) -> bool {
        let Some(work) = self.work.take() else { return false };
        // A bug in one piece of work is not to end the writing of everybody else.
        let outcome = AssertUnwindSafe(work(connection, now)).catch_unwind().await;
        let outcome = outcome.unwrap_or(Err(Halt::Misuse("the work panicked")));
        let is_kept = outcome.is_ok();
        self.outcome = Some(outcome.map_err(|halt| halt.in_method(self.context)));
        is_kept
    }

    fn method(&self) -> &'static str {
        self.context
    }

    fn has_met_full_disk(&self) -> bool {
        let Some(Err(StoreError::Unavailable(source))) = &self.outcome else { return false };
        let cause =
            source.downcast_ref::<Broken>().map_or_else(|| source.downcast_ref::<sqlx::Error>(), |broken| Some(&*broken.cause));
        let cause = cause.and_then(|cause| cause.as_database_error()?.try_downcast_ref::<SqliteError>());
        cause.is_some_and(is_full)
    }

    fn has_failed_for_now(&self) -> bool {
        matches!(self.outcome, Some(Err(StoreError::Unavailable(_))))
    }

    fn fail(&mut self, broken: &Broken) {
        if !matches!(self.outcome, Some(Err(_))) {
            let source = Box::new(broken.clone());
            self.outcome = Some(Err(match (broken.is_in_doubt, broken.is_unavailable) {
                (true, _) => StoreError::Unknown(source),
                (false, true) => StoreError::Unavailable(source),
                (false, false) => StoreError::Driver { context: self.context, source },
            }));
        }
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone away; that changes nothing about what was written.
        let _ = self.reply.send(self.outcome.unwrap_or_else(|| Err(stopped())));
    }
}

/// The writing end of the queue.
struct Desk {
    /// None after a failure, until the next batch.
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    clock: SteadyClock,
    wal: Wal,
    ballast: Ballast,
    signals: Signals,
}

impl Desk {
    async fn serve(mut self, mut waiting: mpsc::Receiver<Box<dyn Queued>>, stop: CancellationToken, lock: Option<File>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled(), if !waiting.is_closed() => {
                    waiting.close();
                    continue;
                }
                taken = waiting.recv_many(&mut batch, MAX_BATCH) => taken,
            };
            if taken == 0 {
                break;
            }
            self.ballast.restore();
            match self.commit(&mut batch).await {
                Ok(true) => self.signals.announce(),
                Ok(false) => {}
                Err(broken) => {
                    if is_kind(&broken.cause, is_locked) {
                        // Those who came meanwhile have waited too; waiting for the same lock once more would take too long.
                        batch.extend(std::iter::from_fn(|| waiting.try_recv().ok()).take(MAX_QUEUED));
                    }
                    let (error, jobs, is_in_doubt) = (&broken.cause, batch.len(), broken.is_in_doubt);
                    tracing::warn!(%error, jobs, is_in_doubt, "a transaction failed");
                    self.connection = None;
                    batch.iter_mut().for_each(|job| job.fail(&broken));
                }
            }
            if batch.iter().any(|job| job.has_met_full_disk()) {
                self.ballast.release();
            }
            batch.drain(..).for_each(Queued::answer);
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database was not closed cleanly; nothing is lost by that");
        }
        drop(lock);
    }

    /// Does a batch in one transaction. Returns whether it changed anything.
    async fn commit(&mut self, batch: &mut [Box<dyn Queued>]) -> Result<bool, Broken> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.options).await?),
        };
        execute(connection, "BEGIN IMMEDIATE").await?;
        let before = total_changes(connection).await?;
        for job in batch {
            if self.ballast.refuses(job.method()) {
                job.fail(&Broken::from(sqlx::Error::Io(std::io::ErrorKind::StorageFull.into())));
                continue;
            }
            execute(connection, "SAVEPOINT job").await?;
            if !job.run(connection, self.clock.now()).await {
                // Some failures end the whole transaction; then there is no savepoint any more, and everybody shares the fate.
                let undone = execute(connection, "ROLLBACK TO job").await;
                undone.map_err(|cause| Broken { is_unavailable: job.has_failed_for_now(), ..Broken::from(cause) })?;
            }
            execute(connection, "RELEASE job").await?;
        }
        let has_changed = total_changes(connection).await? != before;
        if has_changed {
            fail::fail_point!("store::before-commit");
        }
        let committed = execute(connection, "COMMIT").await;
        committed.map_err(|cause| Broken { is_in_doubt: is_kind(&cause, is_failed_flush), ..Broken::from(cause) })?;
        if has_changed {
            fail::fail_point!("store::after-commit");
        }
        self.wal.keep_short(connection).await;
        Ok(has_changed)
    }
}

async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    check_durability(&mut connection).await.map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
    Ok(connection)
}

fn is_kind(error: &sqlx::Error, kind: fn(&SqliteError) -> bool) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<SqliteError>());
    error.is_some_and(kind)
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await.map(drop)
}

async fn total_changes(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT total_changes()").fetch_one(connection).await
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
