//! What became of a COMMIT whose answer was lost: the server is asked by the transaction's number, on connections of their
//! own, until it is decided or too much time has passed.
//!
//! Refuses to trust a number across a crash of the server. A transaction that was never flushed is forgotten in a crash, and
//! its number is given to the next one; that one's success is not ours. The server's life (see the table `server_lives`)
//! tells the two apart.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::Instant;

use super::halt::timed_out;
use crate::{Entropy, StoreError, SystemEntropy};

/// How long a fate is looked for. A server that was left in the middle of a transaction gives it up within half of that.
const MAX_SEARCH: Duration = Duration::from_secs(20);

/// How long one connection is waited for, and its answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two looks, doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause between two looks.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// SQLSTATE of a number that the server has not given to any transaction.
const NUMBER_NEVER_GIVEN: &str = "22023";

/// A transaction's number, in the life of the server that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransactionNumber {
    /// PostgreSQL's `xid8`, as text.
    pub(super) number: String,
    /// The server's life.
    pub(super) life: String,
}

/// What the server says of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    RolledBack,
    /// It is not over yet.
    Open,
    /// It cannot be found out any more.
    Lost,
}

/// Finds out whether a transaction was committed. `cause` is how its COMMIT failed.
///
/// # Errors
/// [`StoreError::Unavailable`] when it was not; [`StoreError::Unknown`] when that cannot be found out.
pub(super) async fn find_out(
    connect: &PgConnectOptions,
    transaction: &TransactionNumber,
    cause: sqlx::Error,
) -> Result<(), StoreError> {
    let deadline = Instant::now() + MAX_SEARCH;
    let mut pause = FIRST_PAUSE;
    while Instant::now() < deadline {
        match ask(connect, transaction).await {
            Ok(Fate::Committed) => return Ok(()),
            Ok(Fate::RolledBack) => return Err(StoreError::Unavailable(Box::new(cause))),
            Ok(Fate::Lost) => break,
            Ok(Fate::Open) => {}
            Err(error) => tracing::debug!(%error, "what became of a commit cannot be asked yet"),
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
    tracing::error!(transaction = transaction.number, "what became of a commit cannot be found out");
    Err(StoreError::Unknown(Box::new(cause)))
}

/// Between half of a pause and all of it, so that those who were cut off together do not come back together.
pub(super) fn jittered(pause: Duration) -> Duration {
    let [byte] = (&SystemEntropy as &dyn Entropy).bytes();
    pause / 2 + pause * u32::from(byte) / 512
}

async fn ask(connect: &PgConnectOptions, transaction: &TransactionNumber) -> Result<Fate, sqlx::Error> {
    let asking = async {
        let mut connection = connect.connect().await?;
        let answer = sqlx::query("SELECT pg_xact_status($1::text::xid8) AS status, (SELECT life FROM server_lives) AS life")
            .bind(transaction.number.as_str())
            .persistent(false)
            .fetch_one(&mut connection)
            .await;
        let fate = match answer {
            Ok(row) => read_fate(&row, transaction),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NUMBER_NEVER_GIVEN) => Ok(Fate::RolledBack),
            Err(error) => Err(error),
        };
        // Whether it closes well is of no interest.
        let _ = connection.close().await;
        fate
    };
    match tokio::time::timeout(ASK_TIMEOUT, asking).await {
        Ok(fate) => fate,
        Err(_) => Err(timed_out("the database did not say in time what became of a commit")),
    }
}

fn read_fate(row: &PgRow, transaction: &TransactionNumber) -> Result<Fate, sqlx::Error> {
    let status: Option<String> = row.try_get("status")?;
    let life: Option<String> = row.try_get("life")?;
    let is_same_life = life.as_deref() == Some(transaction.life.as_str());
    Ok(decide(status.as_deref(), is_same_life))
}

/// A transaction that was flushed keeps its number for ever, so across a crash only a success is doubtful: it may be that of
/// another transaction which was given the same number.
fn decide(status: Option<&str>, is_same_life: bool) -> Fate {
    match (status, is_same_life) {
        (Some("committed"), true) => Fate::Committed,
        (Some("committed"), false) | (None, _) => Fate::Lost,
        (Some("in progress"), true) => Fate::Open,
        (Some(_), _) => Fate::RolledBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_counts_only_in_the_same_life_of_the_server() {
        assert_eq!(decide(Some("committed"), true), Fate::Committed);
        assert_eq!(decide(Some("committed"), false), Fate::Lost);
        assert_eq!(decide(Some("in progress"), true), Fate::Open);
        assert_eq!(decide(Some("in progress"), false), Fate::RolledBack, "it is somebody else's by now");
        assert_eq!(decide(Some("aborted"), true), Fate::RolledBack);
        assert_eq!(decide(Some("aborted"), false), Fate::RolledBack);
        assert_eq!(decide(None, true), Fate::Lost);
    }
}
