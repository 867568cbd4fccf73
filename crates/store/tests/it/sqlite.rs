//! What only a store in a file can be asked: whether it is alone, private, durable, and silent about secrets.

use std::any::Any;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use keywright_domain::{AttemptEnd, ProjectId, RunId, RunState, WorkspaceId};
use keywright_store::sqlite::{OpenError, SqliteStore};
use keywright_store::{
    Audit as _, Clock, Keys as _, MasterKey, NewKey, Projects as _, Runs as _, Store, StoreError, SystemClock, SystemEntropy,
    Vault, VaultError, Workers as _,
};
use serde_json::json;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::bench::{Bench, BenchClock, Raw, captured, proxy, returned};

fn vault(key: u8) -> Vault {
    Vault::new(MasterKey::from_bytes([key; 32]), Arc::new(SystemEntropy))
}

/// A store with a clock that nobody moves.
async fn open(path: &Path, key: u8) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, vault(key), Arc::new(SystemClock)).await
}

/// A bench on a fresh database in a folder that goes with it.
pub(crate) async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    bench_at(&folder.path().join("keywright.db"), folder).await
}

/// A bench on the database at this place.
async fn bench_at(path: &Path, keep: impl Any + Send + Sync) -> Bench {
    let clock = Arc::new(BenchClock::default());
    let store = SqliteStore::open(path, vault(1), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
    Bench::new(Arc::new(store), clock, RawFile(path.to_owned()), keep).await
}

/// The file itself, for damages.
struct RawFile(PathBuf);

#[async_trait]
impl Raw for RawFile {
    async fn execute(&self, statement: &str) {
        let mut connection = raw(&self.0).await;
        for statement in ["PRAGMA foreign_keys = OFF", "PRAGMA ignore_check_constraints = ON", statement] {
            sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        }
    }
}

/// A connection of our own, past the store.
async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let first = open(&path, 1).await.unwrap();
    let second = open(&path, 1).await.unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)));
    assert!(second.to_string().contains("in use by another server"), "{second}");
    first.close().await;
    let third = open(&path, 1).await.unwrap();
    assert!(matches!(first.ping().await, Err(StoreError::Unavailable(_))), "a closed store takes no writes");
    drop(third);
}

#[tokio::test]
async fn another_master_key_does_not_open_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let store = open(&path, 1).await.unwrap();
    let workspace = WorkspaceId::from_entropy([7; 16]);
    let key = NewKey { id: keywright_domain::KeyId::from_entropy([1; 21]), name: "first".to_owned(), hash: [1; 32] };
    store.bootstrap(&workspace, key).await.unwrap();
    store.close().await;
    let wrong = open(&path, 2).await.unwrap_err();
    assert!(
        matches!(&wrong, OpenError::WrongKey { workspace: named, source: VaultError::DoesNotOpen } if named == workspace.as_str())
    );
    open(&path, 1).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let content = "somebody's letters\n".repeat(1_000);
    std::fs::write(&path, &content).unwrap();
    assert!(matches!(open(&path, 1).await, Err(OpenError::Damaged { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    open(&path, 1).await.unwrap().close().await;
    let mut connection = raw(&path).await;
    sqlx::query("INSERT INTO _sqlx_migrations SELECT 999, 'later', installed_on, success, checksum, 0 FROM _sqlx_migrations")
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(matches!(open(&path, 1).await, Err(OpenError::Schema { .. })));
}

#[tokio::test]
async fn secrets_are_not_in_the_files_and_the_files_are_ours_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let bench = bench_at(&path, ()).await;
    let settings = json!({ "proxy": { "deployed": "http://u:canary-settings@proxy.example.test:81" } });
    let (_, project) = bench.deploy("shop", crate::bench::built(&settings)).await;

    let mut new = bench.create("ada", json!({ "password": "canary-parameters" }));
    new.request.proxy = Some(proxy("http://u:canary-proxy@proxy.example.test:81"));
    bench.accept_operation(&project, new).await;
    let record = bench.take().await;
    let record = bench.attempt(record, captured(json!({ "cookie": "canary-state" }))).await;
    assert_no_canary(folder.path());
    bench.attempt(record, AttemptEnd::CheckPassed).await;

    let mut run = bench.runtime_run("eve", false, json!("canary-runtime"));
    run.parameters = keywright_domain::Secret::new(json!("canary-api-parameters"));
    run.sink = Some(keywright_domain::Secret::new(json!({ "secretAccessKey": "canary-sink" })));
    bench.accept_run(&project, run).await;
    let record = bench.take().await;
    let record = bench.attempt(record, captured(json!("canary-runtime-state"))).await;
    let record = bench.attempt(record, AttemptEnd::CheckPassed).await;
    bench.attempt(record, returned(json!({ "iban": "canary-result" }))).await;
    bench.store.set_value(&bench.workspace, &project, "cursor", json!("canary-value")).await.unwrap();
    bench.store.delete_auth_session(&project, "ada").await.unwrap();

    assert_no_canary(folder.path());
    bench.store.close().await;
    assert_no_canary(folder.path());
}

fn assert_no_canary(folder: &Path) {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        let lies_open = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!lies_open(b"canary"), "{name} holds a secret");
        // The names of things are not secret, and show that the search can find anything at all.
        if name == "keywright.db-wal" {
            assert!(lies_open(b"shop") && bytes.len() > 100_000, "{name}");
        }
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
        names.push(name);
    }
    assert!(names.contains(&"keywright.db".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_secret_that_was_moved_is_reported_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let bench = bench_at(&path, ()).await;
    let project = bench.project("shop", 1).await;
    bench.ready_session(&project, "ada", json!({}), json!("hers")).await;
    bench.ready_session(&project, "bob", json!({}), json!("his")).await;
    let mut connection = raw(&path).await;
    sqlx::query(
        "UPDATE auth_sessions SET state_sealed = (SELECT state_sealed FROM auth_sessions WHERE id = 'ada') WHERE id = 'bob'",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let key = bench.store.find_auth_session(&project, "bob").await.unwrap().unwrap().key;
    match bench.store.session_secrets(&key).await.unwrap_err() {
        StoreError::Corrupt { table: "auth_sessions", what } => {
            assert!(what.starts_with(&format!("state_sealed of the row {key}: ")), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_reported_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let bench = bench_at(&path, ()).await;
    let project = bench.project("shop", 1).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    let mut connection = raw(&path).await;
    sqlx::query("UPDATE runs SET api = '../secrets'").execute(&mut connection).await.unwrap();
    match bench.store.find_run(&project, &run).await.unwrap_err() {
        StoreError::Corrupt { table: "runs", what } => assert!(what.starts_with(&format!("api of the row {run}: ")), "{what}"),
        other => panic!("{other:?}"),
    }
    // What makes no sense cannot even be written, as long as it can be said in a constraint.
    for nonsense in [
        "UPDATE runs SET state = 'asleep'",
        "UPDATE runs SET state = 'completed'",
        "UPDATE runs SET stage = 'api'",
        "UPDATE runs SET owner = 'me'",
        "UPDATE runs SET workspace_id = 'another'",
    ] {
        assert!(sqlx::query(nonsense).execute(&mut connection).await.is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn a_damaged_run_does_not_keep_others_from_going_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let bench = bench_at(&path, ()).await;
    let project = bench.project("shop", 2).await;
    let damaged = bench.accept_run(&project, bench.api_run(None)).await;
    let sound = bench.accept_run(&project, bench.api_run(None)).await;
    let mut connection = raw(&path).await;
    let damage = "UPDATE runs SET parameters_sealed = x'0102' WHERE id = $1";
    sqlx::query(damage).bind(damaged.as_str()).execute(&mut connection).await.unwrap();
    assert_eq!(bench.claimed_ids().await, std::slice::from_ref(&sound));
    assert!(bench.claim().await.is_empty());
    let output = bench.store.find_run(&project, &damaged).await.unwrap().unwrap();
    assert_eq!((output.state, output.started_at), (RunState::Pending, None), "it is left as it was");
}

/// Accepts runs until it is killed, and says each that was accepted. A part of the test below, not a test.
#[tokio::test]
#[ignore = "started by the test that kills it"]
async fn accept_until_killed() {
    #[expect(clippy::disallowed_methods, reason = "the only way to hand the folder to a test in another process")]
    let folder = std::env::var("KEYWRIGHT_TEST_FOLDER").unwrap();
    let bench = bench_at(&Path::new(&folder).join("keywright.db"), ()).await;
    let project = bench.project("shop", 10).await;
    let mut out = std::io::stderr();
    for number in 0.. {
        let run = bench.accept_run(&project, bench.api_run(None)).await;
        writeln!(out, "accepted {run}").unwrap();
        if number % 2 == 0 {
            bench.claim().await;
        }
    }
}

#[tokio::test]
async fn what_was_accepted_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "only another process can be killed without ending this test")]
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::accept_until_killed", "--ignored", "--nocapture"])
        .env("KEYWRIGHT_TEST_FOLDER", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut accepted = Vec::new();
    for line in lines {
        let line = line.unwrap();
        let Some(id) = line.strip_prefix("accepted ") else { continue };
        accepted.push(RunId::parse(id).unwrap());
        if accepted.len() == 50 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(accepted.len() >= 50, "it ended by itself after {} runs", accepted.len());

    let store = open(&folder.path().join("keywright.db"), 1).await.unwrap();
    let project: ProjectId = store.find_project(&WorkspaceId::from_entropy([7; 16]), "shop").await.unwrap().unwrap().id;
    for id in &accepted {
        assert_eq!(store.find_run(&project, id).await.unwrap().unwrap().state, RunState::Pending, "{id}");
    }
    assert_eq!(store.audit(10).await.unwrap(), []);
    let held = store.list_workers(10).await.unwrap().into_iter().map(|worker| worker.runs).sum::<u64>();
    assert_eq!(held, 10, "as many as its project may have");
}
