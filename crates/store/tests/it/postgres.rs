//! What only a store in PostgreSQL can be asked: how several of them get on with each other, and what they do when the server
//! or the way to it fails.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use keywright_domain::{AttemptEnd, RunId, RunReason, RunState, WorkspaceId};
use keywright_store::postgres::{OpenError, PostgresOptions, PostgresStore};
use keywright_store::{
    Accepted, Claimed, Clock, Idempotency, Keys as _, MasterKey, NewKey, NewRun, Projects as _, Renewal, Runs as _, Store,
    StoreError, SystemEntropy, Vault, VaultError,
};
use serde_json::json;

use crate::bench::{Bench, BenchClock, Raw, TTL_MS, existing, returned};
use crate::pooler::Pooler;
use crate::postgres_server::{self, Database, Server, execute};
use crate::wire::{Cut, Wire};

/// How long something that has to come may take on a busy machine.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Says which schema a database was made with.
const SCHEMA: &str = include_str!("../../src/postgres/migrations/0001_init.sql");

fn vault(key: u8) -> Vault {
    Vault::new(MasterKey::from_bytes([key; 32]), Arc::new(SystemEntropy))
}

/// A fresh database with our schema.
async fn database() -> Database {
    let version =
        SCHEMA.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    postgres_server::copy_of(&format!("{version:016x}"), async |url| {
        PostgresStore::open(PostgresOptions::new(url), vault(1)).await.unwrap().close().await;
    })
    .await
}

/// A bench on a fresh database that goes with it.
pub(crate) async fn bench() -> Bench {
    let database = Arc::new(database().await);
    bench_on(PostgresOptions::new(database.url()), database).await
}

/// A bench on this database.
async fn bench_on(options: PostgresOptions, database: Arc<Database>) -> Bench {
    let clock = Arc::new(BenchClock::default());
    let options = PostgresOptions { clock: Some(Arc::clone(&clock) as Arc<dyn Clock>), ..options };
    let store = PostgresStore::open(options, vault(1)).await.unwrap();
    Bench::new(Arc::new(store), clock, RawDatabase(Arc::clone(&database)), database).await
}

/// The database itself, for damages.
struct RawDatabase(Arc<Database>);

#[async_trait]
impl Raw for RawDatabase {
    async fn execute(&self, statement: &str) {
        let mut connection = self.0.connect().await;
        // Neither foreign keys nor triggers are looked at, and there are no checks any more.
        execute(&mut connection, "SET session_replication_role = replica").await;
        let drop_checks = "DO $$ DECLARE found record; BEGIN
            FOR found IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
                         WHERE contype = 'c' AND connamespace = 'public'::regnamespace LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.owner, found.conname);
            END LOOP;
        END $$";
        execute(&mut connection, drop_checks).await;
        execute(&mut connection, statement).await;
    }
}

/// Another store on the same database, without a clock of its own.
async fn another(database: &Database) -> PostgresStore {
    PostgresStore::open(PostgresOptions::new(database.url()), vault(1)).await.unwrap()
}

fn first_key() -> NewKey {
    NewKey { id: keywright_domain::KeyId::from_entropy([1; 21]), name: "first".to_owned(), hash: [1; 32] }
}

#[tokio::test]
async fn two_that_start_at_once_migrate_once() {
    let database = postgres_server::empty_database().await;
    let (one, two) = tokio::join!(another(&database), another(&database));
    let mut connection = database.connect().await;
    let migrations: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&mut connection).await.unwrap();
    assert_eq!(migrations, 1);
    // And of two first starts, one makes the workspace.
    let (first, second) = (WorkspaceId::from_entropy([1; 16]), WorkspaceId::from_entropy([2; 16]));
    let made = tokio::join!(one.bootstrap(&first, first_key()), two.bootstrap(&second, first_key()));
    let made = [made.0.unwrap(), made.1.unwrap()];
    assert_eq!(made.iter().filter(|made| **made == keywright_store::Bootstrap::Created).count(), 1, "{made:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let database = database().await;
    let mut connection = database.connect().await;
    let newer = "INSERT INTO _sqlx_migrations SELECT 999, 'later', installed_on, success, checksum, 0 FROM _sqlx_migrations";
    execute(&mut connection, newer).await;
    let refused = PostgresStore::open(PostgresOptions::new(database.url()), vault(1)).await.unwrap_err();
    assert!(matches!(refused, OpenError::Schema { .. }), "{refused:?}");
}

#[tokio::test]
async fn another_master_key_does_not_open_the_data() {
    let database = database().await;
    let workspace = WorkspaceId::from_entropy([7; 16]);
    another(&database).await.bootstrap(&workspace, first_key()).await.unwrap();
    let wrong = PostgresStore::open(PostgresOptions::new(database.url()), vault(2)).await.unwrap_err();
    assert!(
        matches!(&wrong, OpenError::WrongKey { workspace: named, source: VaultError::DoesNotOpen } if named == workspace.as_str())
    );
}

#[tokio::test]
async fn a_database_that_answers_before_it_flushes_is_refused() {
    let database = database().await;
    let mut connection = database.connect().await;
    execute(&mut connection, &format!("ALTER DATABASE {} SET synchronous_commit = off", database.name())).await;
    let refused = PostgresStore::open(PostgresOptions::new(database.url()), vault(1)).await.unwrap_err();
    assert!(matches!(&refused, OpenError::NotDurable(setting) if setting.setting == "synchronous_commit"), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let options = PostgresOptions::new("postgres://ada:canary@127.0.0.1:1/shop?sslmode=disable");
    let refused = PostgresStore::open(options, vault(1)).await.unwrap_err();
    assert!(refused.to_string().contains("ada@127.0.0.1:1/shop"), "{refused}");
    assert!(!format!("{refused:?}").contains("canary"));
}

#[tokio::test]
async fn an_event_is_never_changed() {
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let mut connection = database.connect().await;
    let refused = sqlx::query("UPDATE run_events SET at = 0").execute(&mut connection).await.unwrap_err();
    assert!(refused.to_string().contains("only ever appended"), "{refused}");
}

#[tokio::test]
async fn a_workspace_that_another_node_made_is_learned() {
    let database = Arc::new(database().await);
    // Opened before there was any workspace.
    let earlier = another(&database).await;
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;
    let found = earlier.find_project(&bench.workspace, "shop").await.unwrap().unwrap();
    assert_eq!(found.id, project);

    // And whoever meets the workspace in a claim first learns it as well.
    let later = another(&database).await;
    let accepted = earlier.accept_run(&bench.workspace, &project, bench.api_run(None)).await.unwrap();
    let worker = bench.join(bench.new_worker()).await;
    match (accepted, later.claim_runs(&worker, 1).await.unwrap()) {
        (Accepted::New { run, .. }, Claimed::Runs(taken)) => assert_eq!(taken.first().map(|taken| &taken.id), Some(&run)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_out() {
    let database = Arc::new(database().await);
    let wire = Wire::to(database.folder()).await;
    let bench = bench_on(PostgresOptions::new(wire.url(database.name())), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;

    let done = bench.api_run(None);
    let id = done.request.id.clone();
    wire.cut_at_commit(Cut::AfterTheServer, false);
    assert_eq!(bench.accept_run(&project, done).await, id);
    assert!(bench.store.find_run(&project, &id).await.unwrap().is_some());

    let lost = bench.api_run(None);
    let id = lost.request.id.clone();
    wire.cut_at_commit(Cut::BeforeTheServer, false);
    let refused = bench.store.accept_run(&bench.workspace, &project, lost.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert_eq!(bench.store.find_run(&project, &id).await.unwrap(), None);
    // What was not accepted can be asked for again under the same ids.
    assert_eq!(bench.accept_run(&project, lost).await, id);
    bench.expect_sound().await;
}

#[tokio::test]
async fn a_commit_is_not_vouched_for_across_a_crash_of_the_server() {
    let mut server = Server::start();
    let database = Arc::new(server.empty_database("keywright").await);
    let wire = Wire::to(server.folder()).await;
    let bench = bench_on(PostgresOptions::new(wire.url("keywright")), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;
    let new = bench.api_run(None);
    let id = new.request.id.clone();

    wire.cut_at_commit(Cut::AfterTheServer, true);
    let accepting = bench.store.accept_run(&bench.workspace, &project, new);
    let crashing = async {
        wire.was_cut().await;
        // The number of that transaction could be another's after this.
        server.crash();
        server.resume();
        wire.open();
    };
    let (unknown, ()) = tokio::join!(accepting, crashing);
    assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{unknown:?}");
    // In truth it had happened.
    assert!(bench.store.find_run(&project, &id).await.unwrap().is_some());
    bench.expect_sound().await;
}

#[tokio::test]
async fn a_restart_of_the_server_is_survived_without_one_of_ours() {
    let mut server = Server::start();
    let database = Arc::new(server.empty_database("keywright").await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;
    let before = bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;

    server.stop();
    for refused in [
        bench.store.ping().await.map(drop),
        bench.store.find_run(&project, &before).await.map(drop),
        bench.store.accept_run(&bench.workspace, &project, bench.api_run(None)).await.map(drop),
        bench.store.renew_worker(&bench.worker(), TTL_MS).await.map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    let mut commits = bench.store.signals().subscribe();
    server.resume();

    // Every connection of every pool has gone stale, and nobody notices.
    bench.attempt(record, returned(json!(1))).await;
    let after = bench.accept_run(&project, bench.api_run(None)).await;
    assert_eq!(bench.claimed_ids().await, std::slice::from_ref(&after));
    bench.expect_sound().await;

    // Others are heard again.
    let other = another(&database).await;
    commits.mark_unchanged();
    let heard = async {
        loop {
            other.accept_run(&bench.workspace, &project, bench.api_run(None)).await.unwrap();
            if tokio::time::timeout(Duration::from_secs(1), commits.changed()).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(MAX_WAIT, heard).await.unwrap();
}

#[tokio::test]
async fn commits_of_others_are_heard() {
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;
    let other = another(&database).await;
    let mut commits = bench.store.signals().subscribe();
    other.accept_run(&bench.workspace, &project, bench.api_run(None)).await.unwrap();
    tokio::time::timeout(MAX_WAIT, commits.changed()).await.expect("a commit of another store is announced").unwrap();
}

#[tokio::test]
async fn many_claimers_on_two_nodes_share_what_there_is() {
    const PROJECTS: usize = 3;
    const RUNS_OF_EACH: usize = 20;
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let other = another(&database).await;
    let mut accepted = HashSet::new();
    for number in 0..PROJECTS {
        let project = bench.project(&format!("shop-{number}"), 100).await;
        for _ in 0..RUNS_OF_EACH {
            accepted.insert(bench.accept_run(&project, bench.api_run(None)).await);
        }
    }
    let mut claimers = Vec::new();
    for number in 0..20 {
        let worker = bench.join(bench.new_worker()).await;
        let store: &dyn Store = if number % 2 == 0 { bench.store.as_ref() } else { &other };
        claimers.push(async move {
            let mut mine: Vec<RunId> = Vec::new();
            // Whoever is told that there is nothing is not told so because others were in his way.
            while let Claimed::Runs(taken) = store.claim_runs(&worker, 2).await.unwrap()
                && !taken.is_empty()
            {
                mine.extend(taken.into_iter().map(|record| record.id));
            }
            mine
        });
    }
    let taken: Vec<RunId> = join_all(claimers).await.into_iter().flatten().collect();
    assert_eq!(taken.len(), accepted.len(), "none twice, and none left");
    assert_eq!(taken.into_iter().collect::<HashSet<_>>(), accepted);
    bench.expect_sound().await;
}

#[tokio::test]
async fn one_idempotency_key_is_one_run_however_many_ask_at_once() {
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let other = another(&database).await;
    let project = bench.project("shop", 5).await;
    let asking = (0..12).map(|number| {
        let mut new: NewRun = bench.api_run(None);
        new.request.idempotency = Some(Idempotency { key: "k".to_owned(), fingerprint: [3; 32] });
        let store: &dyn Store = if number % 2 == 0 { bench.store.as_ref() } else { &other };
        async { store.accept_run(&bench.workspace, &project, new).await.unwrap() }
    });
    let answers = join_all(asking.collect::<Vec<_>>()).await;
    let is_new = |answer: &&Accepted| matches!(answer, Accepted::New { .. });
    assert_eq!(answers.iter().filter(is_new).count(), 1, "{answers:?}");
    assert_eq!(bench.claim().await.len(), 1);
}

#[tokio::test]
async fn a_line_for_a_session_stays_in_order_whatever_happens_to_it_at_once() {
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let other = another(&database).await;
    let project = bench.project("shop", 50).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    // Some are accepted, some canceled, and the first in line goes on, all at the same time.
    for _ in 0..5 {
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await);
        }
        let record = bench.take().await;
        let moving = bench.attempt(record, AttemptEnd::CheckPassed);
        let accepting = (0..4).map(|_| other.accept_run(&bench.workspace, &project, bench.api_run(Some(existing("ada")))));
        let canceling = waiting[1..].iter().map(|run| other.cancel_run(&project, run, RunReason::UserAction));
        let (moved, accepted, canceled) =
            tokio::join!(moving, join_all(accepting.collect::<Vec<_>>()), join_all(canceling.collect::<Vec<_>>()));
        assert!(accepted.into_iter().all(|accepted| matches!(accepted, Ok(Accepted::New { .. }))));
        assert!(canceled.into_iter().all(|canceled| matches!(canceled, Ok(Some(_)))));
        bench.attempt(moved, returned(json!(1))).await;
        bench.expect_sound().await;
        // Whoever is left goes on one after the other.
        for _ in 0..4 {
            let record = bench.take().await;
            bench.store.cancel_run(&project, &record.id, RunReason::UserAction).await.unwrap();
        }
        assert!(bench.claim().await.is_empty());
    }
}

#[tokio::test]
async fn a_deadlock_is_tried_again() {
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let run = bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    // Somebody who takes locks in the other order, and who does not give in.
    let mut meddler = database.connect().await;
    execute(&mut meddler, "SET deadlock_timeout = '60s'; BEGIN").await;
    sqlx::query("SELECT 1 FROM runs WHERE id = $1 FOR UPDATE").bind(run.as_str()).execute(&mut meddler).await.unwrap();
    let meddling = async {
        // Once the other one waits for us, we wait for him.
        let mut watcher = database.connect().await;
        let is_waiting =
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(is_waiting).fetch_one(&mut watcher).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let line = "SELECT pg_advisory_xact_lock(19281, hashtext(session_key) & 1023) FROM runs WHERE id = $1";
        sqlx::query(line).bind(run.as_str()).execute(&mut meddler).await.unwrap();
        execute(&mut meddler, "COMMIT").await;
    };
    let (canceled, ()) = tokio::join!(bench.store.cancel_run(&project, &run, RunReason::UserAction), meddling);
    assert!(matches!(canceled.unwrap().unwrap().state, RunState::Canceled(_)));
    let deadlocks = "SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let counted = async {
        let mut watcher = database.connect().await;
        while sqlx::query_as::<_, ((), i64)>(deadlocks).fetch_one(&mut watcher).await.unwrap().1 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(MAX_WAIT, counted).await.expect("there was a deadlock");
}

#[tokio::test]
async fn heartbeats_go_on_while_everybody_else_waits() {
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    let mut meddler = database.connect().await;
    execute(&mut meddler, "BEGIN").await;
    sqlx::query("SELECT 1 FROM runs WHERE id = $1 FOR UPDATE").bind(run.as_str()).execute(&mut meddler).await.unwrap();
    // More than there are connections for, of both kinds.
    let canceling = (0..15).map(|_| bench.store.cancel_run(&project, &run, RunReason::UserAction)).collect::<Vec<_>>();
    let releasing = (0..10).map(|_| bench.store.release_run(&run, keywright_domain::Epoch::new(0))).collect::<Vec<_>>();
    let beating = async {
        let mut watcher = database.connect().await;
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watcher).await.unwrap() < 16 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let renewal = bench.store.renew_worker(&bench.worker(), TTL_MS).await.unwrap();
        assert!(matches!(renewal, Renewal::Renewed { .. }));
        bench.store.ping().await.unwrap();
        bench.seat().await;
        let still: i64 = sqlx::query_scalar(waiting).fetch_one(&mut watcher).await.unwrap();
        execute(&mut meddler, "COMMIT").await;
        still
    };
    let (canceled, _, still) = tokio::join!(join_all(canceling), join_all(releasing), beating);
    assert!(still > 0, "they waited all the while");
    assert!(canceled.into_iter().any(|canceled| canceled.is_ok()));
}

#[tokio::test]
async fn a_table_that_looks_different_by_now_costs_nobody_an_answer() {
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 5).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    assert!(bench.store.find_run(&project, &run).await.unwrap().is_some());
    // As a newer version of this program would do beside us.
    execute(&mut database.connect().await, "ALTER TABLE runs ADD COLUMN later BIGINT").await;
    assert!(bench.store.find_run(&project, &run).await.unwrap().is_some());
    bench.store.cancel_run(&project, &run, RunReason::UserAction).await.unwrap();
}

#[tokio::test]
#[ignore = "a measurement"]
async fn how_fast_it_is() {
    const RUNS: usize = 2_000;
    const AT_ONCE: usize = 32;
    let database = Arc::new(database().await);
    let bench = bench_on(PostgresOptions::new(database.url()), Arc::clone(&database)).await;
    let project = bench.project("shop", 100).await;
    let begun = std::time::Instant::now();
    for _ in 0..RUNS / AT_ONCE {
        join_all((0..AT_ONCE).map(|_| bench.accept_run(&project, bench.api_run(None)))).await;
    }
    let accepted = begun.elapsed();
    let (mut claiming, mut moving, mut done) = (Duration::ZERO, Duration::ZERO, 0);
    while done < RUNS / AT_ONCE * AT_ONCE {
        let begun = std::time::Instant::now();
        let taken = bench.claim().await;
        claiming += begun.elapsed();
        done += taken.len();
        let begun = std::time::Instant::now();
        join_all(taken.into_iter().map(|record| async {
            let record = bench.begin(record).await;
            bench.attempt(record, returned(json!(1))).await
        }))
        .await;
        moving += begun.elapsed();
    }
    let per_second = |time: Duration| f64::from(u32::try_from(RUNS).unwrap()) / time.as_secs_f64();
    let (accepts, claims, runs) = (per_second(accepted), per_second(claiming), per_second(moving));
    println!("{accepts:.0} accepts/s, {claims:.0} claims/s, {runs:.0} runs/s from claim to completion");
}

#[tokio::test]
async fn everything_works_behind_a_transaction_pooler() {
    let database = Arc::new(database().await);
    let pooler = Pooler::start(database.folder());
    let options = PostgresOptions { direct_url: Some(database.url()), ..PostgresOptions::new(pooler.url(database.name())) };
    let bench = bench_on(options.clone(), Arc::clone(&database)).await;
    let other = PostgresStore::open(options, vault(1)).await.unwrap();
    let project = bench.project("shop", 50).await;
    bench.ready_session(&project, "ada", json!({ "user": "ada" }), json!({ "cookie": 1 })).await;

    // Many at once, on far fewer connections of the server.
    let accepting = (0..30).map(|number| {
        let new = bench.api_run((number % 3 == 0).then(|| existing("ada")));
        let store: &dyn Store = if number % 2 == 0 { bench.store.as_ref() } else { &other };
        async { store.accept_run(&bench.workspace, &project, new).await.unwrap() }
    });
    let accepted = join_all(accepting.collect::<Vec<_>>()).await.len();
    let reading = (0..30).map(|_| other.find_project(&bench.workspace, "shop"));
    assert!(join_all(reading.collect::<Vec<_>>()).await.into_iter().all(|found| found.unwrap().is_some()));
    let mut done = 0;
    while let Some(record) = bench.claim().await.into_iter().next() {
        bench.store.release_run(&record.id, record.epoch).await.unwrap();
        let mut taken = bench.claim().await;
        taken.retain(|taken| taken.id == record.id);
        let mut record = bench.begin(taken.remove(0)).await;
        if record.session.is_some() {
            record = bench.attempt(record, AttemptEnd::CheckPassed).await;
        }
        bench.attempt(record, returned(json!(1))).await;
        done += 1;
        bench.next_life().await;
    }
    assert_eq!(done, accepted);
    bench.accept_operation(&project, bench.update("ada", json!({ "user": "eve" }))).await;
    bench.log_in(json!("next")).await;

    // Others are heard, past the pooler.
    let mut commits = bench.store.signals().subscribe();
    other.accept_run(&bench.workspace, &project, bench.api_run(None)).await.unwrap();
    tokio::time::timeout(MAX_WAIT, commits.changed()).await.expect("a commit of another store is announced").unwrap();
    bench.expect_sound().await;
}
