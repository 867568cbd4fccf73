//! What the writer promises to those who wait in one batch.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use sqlx::ConnectOptions as _;
use tempfile::TempDir;

use super::*;
use crate::SystemClock;
use crate::sqlite::open::options;

/// A writer on a table of unique numbers.
struct Fixture {
    writer: Writer,
    signals: Signals,
    options: SqliteConnectOptions,
    _folder: TempDir,
}

impl Fixture {
    async fn new(adjust: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = adjust(options(&folder.path().join("keywright.db")).create_if_missing(true));
        let mut connection = options.connect().await.unwrap();
        let table = "CREATE TABLE numbers (number INTEGER PRIMARY KEY, ballast BLOB) STRICT";
        sqlx::query(table).execute(&mut connection).await.unwrap();
        let signals = Signals::default();
        let lock = File::create(folder.path().join("lock")).unwrap();
        let writer = Writer::start(
            connection,
            options.clone(),
            Arc::new(SystemClock),
            signals.clone(),
            Ballast::beside(&folder.path().join("keywright.db")),
            Some(lock),
        );
        Self { writer, signals, options, _folder: folder }
    }

    async fn insert(&self, number: i64, ballast_bytes: i64) -> Result<(), StoreError> {
        self.writer.write("insert", move |tx, _| insert(tx, number, ballast_bytes).boxed()).await
    }

    async fn numbers(&self) -> Vec<i64> {
        let mut connection = self.options.connect().await.unwrap();
        sqlx::query_scalar("SELECT number FROM numbers ORDER BY number").fetch_all(&mut connection).await.unwrap()
    }

    fn announced(&self) -> u64 {
        *self.signals.subscribe().borrow()
    }
}

async fn insert(tx: &mut SqliteConnection, number: i64, ballast_bytes: i64) -> Result<(), Halt> {
    let query = "INSERT INTO numbers (number, ballast) VALUES ($1, zeroblob($2))";
    sqlx::query(query).bind(number).bind(ballast_bytes).execute(tx).await?;
    Ok(())
}

/// Work that waits in its transaction until it is let go.
async fn hold(writer: &Writer, gate: oneshot::Receiver<()>) -> Result<(), StoreError> {
    writer
        .write("hold", move |tx, _| {
            async move {
                insert(tx, 0, 0).await?;
                let _ = gate.await;
                Ok(())
            }
            .boxed()
        })
        .await
}

#[tokio::test]
async fn work_that_waits_shares_one_transaction() {
    let fixture = Fixture::new(|options| options).await;
    let (open_gate, gate) = oneshot::channel();
    let others = join_all((1..=50).map(|number| fixture.insert(number, 0)));
    // Polled in this order: the first is under way, the others are queued, and then the gate opens.
    let (held, others, ()) = tokio::join!(biased; hold(&fixture.writer, gate), others, async {
        tokio::task::yield_now().await;
        open_gate.send(()).unwrap();
    });
    held.unwrap();
    others.into_iter().for_each(Result::unwrap);
    assert_eq!(fixture.numbers().await, (0..=50).collect::<Vec<_>>());
    assert!(fixture.announced() <= 2, "51 pieces of work in {} transactions", fixture.announced());
}

#[tokio::test]
async fn work_that_fails_takes_back_its_own_changes_only() {
    let fixture = Fixture::new(|options| options).await;
    let half_way = fixture.writer.write("half_way", |tx, _| {
        async move {
            insert(tx, 100, 0).await?;
            insert(tx, 1, 0).await
        }
        .boxed()
    });
    let (one, half_way, two) = tokio::join!(biased; fixture.insert(1, 0), half_way, fixture.insert(2, 0));
    one.unwrap();
    two.unwrap();
    assert!(matches!(half_way, Err(StoreError::Driver { context: "half_way", .. })), "{half_way:?}");
    assert_eq!(fixture.numbers().await, [1, 2]);
}

#[tokio::test]
async fn work_that_panics_fails_alone() {
    let fixture = Fixture::new(|options| options).await;
    let panicking = fixture.writer.write("panicking", |tx, _| {
        async move {
            insert(tx, 100, 0).await?;
            "no number".parse::<i64>().map(drop).map_err(drop).expect("a bug");
            Ok(())
        }
        .boxed()
    });
    let (one, panicking, two) = tokio::join!(biased; fixture.insert(1, 0), panicking, fixture.insert(2, 0));
    one.unwrap();
    two.unwrap();
    assert!(matches!(panicking, Err(StoreError::Driver { context: "panicking", .. })), "{panicking:?}");
    assert_eq!(fixture.numbers().await, [1, 2]);
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_the_writer_recovers_by_itself() {
    let fixture = Fixture::new(|options| options.pragma("max_page_count", "30")).await;
    fixture.insert(1, 0).await.unwrap();
    let (full, beside) = tokio::join!(biased; fixture.insert(2, 10_000_000), fixture.insert(3, 0));
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    assert!(
        matches!(beside, Ok(()) | Err(StoreError::Unavailable(_))),
        "whoever shared the transaction is to try later: {beside:?}"
    );
    assert_eq!(fixture.numbers().await.contains(&3), beside.is_ok(), "what was answered is what is there");
    fixture.insert(4, 0).await.unwrap();
    assert!(fixture.numbers().await.contains(&4));
}

#[tokio::test]
async fn a_lock_held_by_another_tool_is_unavailable_while_it_lasts() {
    let fixture = Fixture::new(|options| options.busy_timeout(Duration::from_millis(1))).await;
    let mut other = fixture.options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert!(matches!(fixture.insert(1, 0).await, Err(StoreError::Unavailable(_))));
    assert_eq!(fixture.announced(), 0);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    fixture.insert(2, 0).await.unwrap();
    assert_eq!(fixture.numbers().await, [2]);
}

#[tokio::test]
async fn a_stopped_writer_finishes_what_it_took_and_takes_no_more() {
    let fixture = Fixture::new(|options| options).await;
    let (open_gate, gate) = oneshot::channel();
    let (held, taken, ()) = tokio::join!(biased; hold(&fixture.writer, gate), fixture.insert(1, 0), async {
        open_gate.send(()).unwrap();
        fixture.writer.stop().await;
    });
    held.unwrap();
    taken.unwrap();
    assert!(matches!(fixture.insert(2, 0).await, Err(StoreError::Unavailable(_))));
    assert_eq!(fixture.numbers().await, [0, 1]);
}

#[tokio::test]
async fn work_is_done_even_if_its_sender_goes_away() {
    let fixture = Fixture::new(|options| options).await;
    {
        let mut abandoned = Box::pin(fixture.insert(1, 0));
        assert!(futures::poll!(&mut abandoned).is_pending());
    }
    fixture.insert(2, 0).await.unwrap();
    assert_eq!(fixture.numbers().await, [1, 2]);
}

#[tokio::test]
async fn on_a_full_disk_only_endings_are_written_until_there_is_room() {
    let fixture = Fixture::new(|options| options.pragma("max_page_count", "30")).await;
    let ballast = fixture.options.get_filename().with_extension("db.ballast");
    assert!(matches!(fixture.insert(1, 10_000_000).await, Err(StoreError::Unavailable(_))));
    assert!(!ballast.exists(), "the reserve was given up");
    // Something lies where the reserve belongs: there is no room for it.
    std::fs::create_dir(&ballast).unwrap();
    assert!(matches!(fixture.insert(2, 0).await, Err(StoreError::Unavailable(_))));
    fixture.writer.write("cancel_run", |tx, _| insert(tx, 3, 0).boxed()).await.unwrap();
    assert_eq!(fixture.numbers().await, [3]);

    std::fs::remove_dir(&ballast).unwrap();
    fixture.insert(4, 0).await.unwrap();
    assert_eq!(fixture.numbers().await, [3, 4]);
    assert!(ballast.exists());
}
