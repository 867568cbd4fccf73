//! The one writer, with group commit: whatever is waiting is written in one transaction, each piece of work in a savepoint
//! of its own, and all of it is answered after the one flush to disk.
//!
//! Work that fails takes back its own changes only. When the transaction as a whole fails (a full disk, say), everybody in
//! it is told so, the connection is thrown away and the next transaction starts on a new one, so the writer recovers by
//! itself as soon as the database does. Work that was sent is done even if its sender has gone away meanwhile.
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
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::open::check_durability;
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
        lock: Option<File>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_QUEUED);
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let desk = Desk { connection: Some(connection), options, clock, latest: Timestamp::from_micros(0), signals };
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

    /// Makes it a failure, unless it failed by itself.
    fn fail(&mut self, cause: &Arc<sqlx::Error>);

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

    fn fail(&mut self, cause: &Arc<sqlx::Error>) {
        if !matches!(self.outcome, Some(Err(_))) {
            let source = Box::new(Arc::clone(cause));
            self.outcome = Some(Err(match is_unavailable(cause) {
                true => StoreError::Unavailable(source),
                false => StoreError::Driver { context: self.context, source },
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
    clock: Arc<dyn Clock>,
    /// The latest moment that was given to any work.
    latest: Timestamp,
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
            match self.commit(&mut batch).await {
                Ok(true) => self.signals.announce(),
                Ok(false) => {}
                Err(cause) => {
                    tracing::warn!(error = %cause, jobs = batch.len(), "a transaction failed; nothing of it was written");
                    self.connection = None;
                    let cause = Arc::new(cause);
                    batch.iter_mut().for_each(|job| job.fail(&cause));
                }
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
    async fn commit(&mut self, batch: &mut [Box<dyn Queued>]) -> Result<bool, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.options).await?),
        };
        execute(connection, "BEGIN IMMEDIATE").await?;
        let before = total_changes(connection).await?;
        for job in batch {
            execute(connection, "SAVEPOINT job").await?;
            self.latest = self.latest.max(self.clock.now());
            if !job.run(connection, self.latest).await {
                // Some failures end the whole transaction; then there is no savepoint any more and this fails as well.
                execute(connection, "ROLLBACK TO job").await?;
            }
            execute(connection, "RELEASE job").await?;
        }
        let has_changed = total_changes(connection).await? != before;
        execute(connection, "COMMIT").await?;
        Ok(has_changed)
    }
}

async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    check_durability(&mut connection).await.map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
    Ok(connection)
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
