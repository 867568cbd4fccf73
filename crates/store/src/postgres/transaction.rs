//! One writing transaction: it asks the server's clock once, does its work at that moment, and commits.
//!
//! READ COMMITTED, with explicit locks where a decision rests on what was read. Its limits of time are set for it alone, so
//! that they hold behind a transaction pooler too: a statement takes 5 s, a lock is waited for 4 s, and a client that stops
//! in the middle (its machine was suspended, its network is gone) keeps its locks for 10 s at most.
//!
//! If the process dies here, the server takes the transaction back.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use keywright_domain::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _};

use super::commit_fate::TransactionNumber;
use super::halt::is_connection_lost;
use super::link::{Link, Statement};
use crate::Clock;
use crate::halt::Halt;

/// Begins, and asks in the same message what time it is, which transaction this is, and in which life of the server.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
           pg_current_xact_id()::text AS number,
           (SELECT life FROM server_lives) AS life,
           current_setting('transaction_read_only') = 'on' AS is_read_only,
           set_config('statement_timeout', '5s', true),
           set_config('lock_timeout', '4s', true),
           set_config('idle_in_transaction_session_timeout', '10s', true)";

/// How long the statements of a long transaction are waited for.
const LONG_ANSWER_TIMEOUT: Duration = Duration::from_secs(65);

/// Gives the server's life a name, unless it has one.
const NAME_LIFE: &str = "INSERT INTO server_lives (life) VALUES (gen_random_uuid()::text) ON CONFLICT DO NOTHING";

/// A transaction under way.
pub(super) struct Tx {
    link: Link,
    /// The moment of everything that it writes.
    pub(super) now: Timestamp,
    number: TransactionNumber,
    is_read_only: bool,
    has_changed: bool,
    /// Whether the vault has been told of every data key just before.
    pub(super) knows_all_keys: bool,
    is_over: bool,
}

/// Why a transaction did not end well.
pub(super) enum CommitError {
    /// It was taken back.
    RolledBack(Halt),
    /// The connection broke in the middle of COMMIT.
    Unclear(sqlx::Error),
}

impl Tx {
    /// Begins a transaction.
    pub(super) async fn begin(
        connection: PoolConnection<Postgres>,
        is_preparing: bool,
        clock: Option<&dyn Clock>,
    ) -> Result<Self, Halt> {
        let mut link = Link::new(connection, is_preparing);
        let mut begun = first(link.simple(BEGIN).await?)?;
        if begun.try_get::<Option<String>, _>("life")?.is_none() {
            // The first transaction of the server's life.
            link.simple("ROLLBACK").await?;
            link.simple(NAME_LIFE).await?;
            begun = first(link.simple(BEGIN).await?)?;
        }
        let now = match clock {
            Some(clock) => clock.now(),
            None => Timestamp::from_micros(begun.try_get("now")?),
        };
        let number = TransactionNumber { number: begun.try_get("number")?, life: begun.try_get("life")? };
        let is_read_only = begun.try_get("is_read_only")?;
        Ok(Self { link, now, number, is_read_only, has_changed: false, knows_all_keys: false, is_over: false })
    }

    /// Which transaction this is.
    pub(super) const fn number(&self) -> &TransactionNumber {
        &self.number
    }

    /// Whether the server takes no writes.
    pub(super) const fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Whether it has changed anything.
    pub(super) const fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Gives the statements that follow a minute, for the one write that may be about very many rows.
    pub(super) async fn take_time(&mut self) -> Result<(), Halt> {
        self.link.set_answer_timeout(LONG_ANSWER_TIMEOUT);
        self.link.simple("SELECT set_config('statement_timeout', '60s', true)").await.map(drop)
    }

    /// How many rows a statement has changed.
    pub(super) async fn change(&mut self, statement: Statement) -> Result<u64, Halt> {
        let rows = self.link.execute(statement).await?;
        self.has_changed |= rows > 0;
        Ok(rows)
    }

    /// What a statement with RETURNING says of the rows that it has changed.
    pub(super) async fn change_returning(&mut self, statement: Statement) -> Result<Vec<PgRow>, Halt> {
        let rows = self.link.read_all(statement).await?;
        self.has_changed |= !rows.is_empty();
        Ok(rows)
    }

    /// What a statement with RETURNING says of the one row that it has changed, if it has.
    pub(super) async fn change_one(&mut self, statement: Statement) -> Result<Option<PgRow>, Halt> {
        Ok(self.change_returning(statement).await?.into_iter().next())
    }

    /// Makes it last.
    pub(super) async fn commit(&mut self) -> Result<(), CommitError> {
        if self.link.has_failed() {
            self.roll_back().await;
            return Err(CommitError::RolledBack(Halt::Misuse("work went on after a statement had failed")));
        }
        self.is_over = true;
        if self.has_changed {
            fail::fail_point!("store::before-commit");
        }
        match self.link.simple("COMMIT").await {
            Ok(_) => {
                if self.has_changed {
                    fail::fail_point!("store::after-commit");
                }
                Ok(())
            }
            // An answer that is no worse than an error says that the transaction is over and has changed nothing.
            Err(Halt::Sql(error)) if is_connection_lost(&error) => Err(CommitError::Unclear(error)),
            Err(halt) => Err(CommitError::RolledBack(halt)),
        }
    }

    /// Takes it back.
    pub(super) async fn roll_back(&mut self) {
        self.is_over = true;
        if let Err(error) = self.link.simple("ROLLBACK").await {
            tracing::debug!(?error, "a transaction was taken back by closing its connection");
            self.link.throw_away();
        }
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.is_over {
            // The work panicked. No other work is to find itself in its transaction.
            self.link.throw_away();
        }
    }
}

impl Deref for Tx {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

fn first(rows: Vec<PgRow>) -> Result<PgRow, Halt> {
    rows.into_iter().next().ok_or(Halt::Sql(sqlx::Error::RowNotFound))
}
