//! Facts about keys and everything that they seal, and what becomes of a store whose keys are rotated under it.

use std::sync::Arc;

use keywright_domain::WorkspaceId;
use keywright_store::sqlite::SqliteStore;
use keywright_store::{
    KeyValues as _, MasterKeys, NamedBy, SealedCursor, Secrets as _, Store, SystemClock, SystemEntropy, Vault,
};
use serde_json::json;

use crate::bench::Bench;

/// Fewer than there are values, so that a walk takes several steps.
const BATCH: u32 = 2;

/// Seals everything of a workspace anew; how many values that were.
async fn reseal(store: &dyn Store, workspace: &WorkspaceId) -> u64 {
    let (mut values, mut next) = (0, Some(SealedCursor::default()));
    while let Some(from) = next {
        let batch = store.reseal(workspace, &from, BATCH).await.unwrap();
        assert_eq!(batch.damaged, Vec::<String>::new());
        values += batch.values;
        next = batch.next;
    }
    values
}

/// Opens everything of a workspace; how many values do, and where those lie that do not.
async fn check(store: &dyn Store, workspace: &WorkspaceId) -> (u64, Vec<String>) {
    let (mut values, mut damaged, mut next) = (0, Vec::new(), Some(SealedCursor::default()));
    while let Some(from) = next {
        let batch = store.check_sealed(workspace, &from, BATCH).await.unwrap();
        values += batch.values;
        damaged.extend(batch.damaged);
        next = batch.next;
    }
    (values, damaged)
}

pub(crate) async fn everything_is_sealed_anew_after_a_rotation(bench: &Bench) {
    let (store, workspace) = (bench.store.as_ref(), &bench.workspace);
    let project = bench.project("shop", 1).await;
    for number in 0..5 {
        store.set_value(workspace, &project, &format!("key-{number}"), json!(number)).await.unwrap();
    }
    let (before, damaged) = check(store, workspace).await;
    assert!(before > 5, "the settings of a deployment are sealed too");
    assert_eq!(damaged, Vec::<String>::new());
    assert_eq!(reseal(store, workspace).await, 0, "nothing is older than the newest key");

    store.rotate_data_keys().await.unwrap();
    let [keys] = store.list_data_keys().await.unwrap().try_into().unwrap();
    assert_eq!((&keys.workspace, keys.newest.get(), keys.is_settled), (workspace, 2, false));
    assert_eq!(store.get_value(workspace, &project, "key-3").await.unwrap(), Some(json!(3)), "older keys open");
    store.set_value(workspace, &project, "key-0", json!("new")).await.unwrap();
    assert_eq!(reseal(store, workspace).await, before - 1, "what was written since has the newest key already");
    assert_eq!(reseal(store, workspace).await, 0);
    store.settle_data_keys(workspace).await.unwrap();
    assert!(store.list_data_keys().await.unwrap()[0].is_settled);
    assert_eq!(check(store, workspace).await, (before, Vec::new()));
    assert_eq!(store.get_value(workspace, &project, "key-0").await.unwrap(), Some(json!("new")));
    assert_eq!(store.get_value(workspace, &project, "key-3").await.unwrap(), Some(json!(3)));
    assert!(store.find_project(workspace, "shop").await.unwrap().unwrap().active.is_some());
}

pub(crate) async fn a_rotation_that_was_not_settled_makes_no_further_key(bench: &Bench) {
    for _ in 0..2 {
        bench.store.rotate_data_keys().await.unwrap();
        assert_eq!(bench.store.list_data_keys().await.unwrap()[0].newest.get(), 2);
    }
    bench.store.settle_data_keys(&bench.workspace).await.unwrap();
    bench.store.rotate_data_keys().await.unwrap();
    assert_eq!(bench.store.list_data_keys().await.unwrap()[0].newest.get(), 3);
}

pub(crate) async fn a_value_that_does_not_open_is_named_and_left(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.store.set_value(&bench.workspace, &project, "a", json!(1)).await.unwrap();
    bench.store.set_value(&bench.workspace, &project, "b", json!(2)).await.unwrap();
    // It was sealed for another row.
    let moved = "UPDATE key_values SET value_sealed = (SELECT value_sealed FROM key_values WHERE key = 'b') WHERE key = 'a'";
    bench.damage(moved).await;
    let (_, damaged) = check(bench.store.as_ref(), &bench.workspace).await;
    assert_eq!(damaged.len(), 1);
    assert!(damaged[0].starts_with(&format!("key_values.value_sealed of {project}/a: ")), "{damaged:?}");
}

pub(crate) async fn archives_are_named_by_their_deployments(bench: &Bench) {
    for name in ["one", "two", "three"] {
        bench.project(name, 1).await;
    }
    let all = bench.store.list_named_blobs(NamedBy::Deployment, "", 10).await.unwrap();
    assert_eq!(all.len(), 3);
    for blob in &all {
        assert_eq!(blob.key.as_str(), format!("deployments/{}.tar.gz", blob.row));
        assert_eq!(blob.workspace, bench.workspace);
    }
    let rest = bench.store.list_named_blobs(NamedBy::Deployment, &all[0].row, 1).await.unwrap();
    assert_eq!(rest, all[1..2]);
    assert_eq!(bench.store.list_named_blobs(NamedBy::Artifact, "", 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_store_goes_on_while_a_guest_rotates_the_keys_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key_file) = (folder.path().join("keywright.db"), folder.path().join("master.key"));
    let masters = MasterKeys::load_or_draft(&key_file, &SystemEntropy).unwrap();
    masters.keep().unwrap();
    let vault = |masters| Vault::new(masters, Arc::new(SystemEntropy));
    let own = vault(masters);
    let running = SqliteStore::open(&path, own.clone(), Arc::new(SystemClock)).await.unwrap();
    let running: Arc<dyn Store> = Arc::new(running);
    let bench = Bench::new(Arc::clone(&running), Arc::default(), NoRaw, ()).await;
    let project = bench.project("shop", 1).await;
    running.set_value(&bench.workspace, &project, "k", json!(1)).await.unwrap();

    let masters = MasterKeys::load(&key_file).unwrap();
    let guest = SqliteStore::open_as_guest(&path, vault(masters.clone()), Arc::new(SystemClock)).await.unwrap();
    masters.rotate(&SystemEntropy).unwrap();
    guest.rotate_data_keys().await.unwrap();
    assert!(reseal(&guest, &bench.workspace).await > 0);
    guest.settle_data_keys(&bench.workspace).await.unwrap();

    assert_eq!(own.newest_data_key(&bench.workspace).unwrap().get(), 1, "nobody told it");
    assert_eq!(running.get_value(&bench.workspace, &project, "k").await.unwrap(), Some(json!(1)));
    assert_eq!(own.newest_data_key(&bench.workspace).unwrap().get(), 2);

    // Whoever only writes learns of the newest key with the request's own.
    guest.rotate_data_keys().await.unwrap();
    assert!(running.find_key(&[1; 32]).await.unwrap().is_some());
    assert_eq!(own.newest_data_key(&bench.workspace).unwrap().get(), 3);
    running.set_value(&bench.workspace, &project, "k", json!(2)).await.unwrap();
    assert_eq!(guest.get_value(&bench.workspace, &project, "k").await.unwrap(), Some(json!(2)));
    guest.close().await;
    running.close().await;
}

/// Nothing here is damaged.
struct NoRaw;

#[async_trait::async_trait]
impl crate::bench::Raw for NoRaw {
    async fn execute(&self, statement: &str) {
        panic!("{statement}");
    }
}
