//! One connection at work: every statement goes through here, is given a limited time, and is prepared by name only where the
//! server at the other end is always the same.
//!
//! A connection that broke, or on which a statement was not answered in time, is never used again: what it would answer next
//! is anybody's guess.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{Decode, Postgres, Row as _, Type};

use super::halt::{is_connection_useless, timed_out};
use crate::halt::Halt;

/// How long we wait for a statement's answer. The server itself gives a statement up before that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// A statement with its arguments.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// A connection of a pool while it is used.
pub(super) struct Link {
    /// None once the connection was thrown away.
    connection: Option<PoolConnection<Postgres>>,
    /// Behind a transaction pooler, a statement that was prepared on one server may be asked for on another.
    is_preparing: bool,
    answer_timeout: Duration,
    has_failed: bool,
}

impl Link {
    /// Takes a connection into use.
    pub(super) const fn new(connection: PoolConnection<Postgres>, is_preparing: bool) -> Self {
        Self { connection: Some(connection), is_preparing, answer_timeout: ANSWER_TIMEOUT, has_failed: false }
    }

    /// Waits for as long for answers from now on.
    pub(super) const fn set_answer_timeout(&mut self, timeout: Duration) {
        self.answer_timeout = timeout;
    }

    /// All rows of a statement that changes nothing.
    pub(super) async fn read_all(&mut self, statement: Statement) -> Result<Vec<PgRow>, Halt> {
        let statement = statement.persistent(self.is_preparing);
        let answer = answer(self.answer_timeout, statement.fetch_all(self.connection()?)).await;
        self.noted(answer)
    }

    /// The only row of a statement that changes nothing, where there is one.
    pub(super) async fn read_optional(&mut self, statement: Statement) -> Result<Option<PgRow>, Halt> {
        Ok(self.read_all(statement).await?.into_iter().next())
    }

    /// The only row of a statement that changes nothing.
    pub(super) async fn read_one(&mut self, statement: Statement) -> Result<PgRow, Halt> {
        self.read_optional(statement).await?.ok_or(Halt::Sql(sqlx::Error::RowNotFound))
    }

    /// The only column of the only row of a statement that changes nothing.
    pub(super) async fn read_value<T>(&mut self, statement: Statement) -> Result<T, Halt>
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(self.read_one(statement).await?.try_get(0)?)
    }

    /// How many rows a statement has changed.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, Halt> {
        let statement = statement.persistent(self.is_preparing);
        let answer = answer(self.answer_timeout, statement.execute(self.connection()?)).await;
        Ok(self.noted(answer)?.rows_affected())
    }

    /// Statements without arguments, sent as one message.
    pub(super) async fn simple(&mut self, statements: &'static str) -> Result<Vec<PgRow>, Halt> {
        let answer = answer(self.answer_timeout, sqlx::raw_sql(statements).fetch_all(self.connection()?)).await;
        self.noted(answer)
    }

    /// Whether any statement has failed on it.
    pub(super) const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Closes the connection without a word, which makes the server take back what was not committed.
    pub(super) fn throw_away(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }

    fn connection(&mut self) -> Result<&mut PgConnection, Halt> {
        self.connection.as_deref_mut().ok_or_else(|| Halt::Sql(timed_out("the connection was given up")))
    }

    fn noted<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, Halt> {
        answer.map_err(|error| {
            self.has_failed = true;
            if is_connection_useless(&error) {
                self.throw_away();
            }
            Halt::Sql(error)
        })
    }
}

async fn answer<T>(timeout: Duration, statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(timeout, statement).await {
        Ok(answer) => answer,
        Err(_) => Err(timed_out("the database did not answer a statement in time")),
    }
}
