//! Facts about keys and workspaces.

use keywright_domain::{KeyId, WorkspaceId};
use keywright_store::Bootstrap;

use crate::bench::Bench;

pub(crate) async fn the_first_workspace_is_made_once(bench: &Bench) {
    let other = WorkspaceId::from_entropy([8; 16]);
    let again = bench.store.bootstrap(&other, bench.key("second", [2; 32])).await.unwrap();
    assert_eq!(again, Bootstrap::Existing(bench.workspace.clone()));
    assert_eq!(bench.store.find_key(&[2; 32]).await.unwrap(), None);
    assert_eq!(bench.store.find_key(&[1; 32]).await.unwrap().unwrap().workspace, bench.workspace);
}

pub(crate) async fn a_key_opens_until_it_is_revoked(bench: &Bench) {
    let made = bench.store.create_key(&bench.workspace, bench.key("ci", [3; 32])).await.unwrap();
    assert_eq!(bench.store.find_key(&[3; 32]).await.unwrap(), Some(made.clone()));

    let stranger = WorkspaceId::from_entropy([8; 16]);
    assert_eq!(bench.store.revoke_key(&stranger, &made.id).await.unwrap(), None);
    let unknown = KeyId::from_entropy(bench.entropy());
    assert_eq!(bench.store.revoke_key(&bench.workspace, &unknown).await.unwrap(), None);
    assert!(bench.store.find_key(&[3; 32]).await.unwrap().is_some());

    let revoked = bench.store.revoke_key(&bench.workspace, &made.id).await.unwrap().unwrap();
    assert!(revoked.revoked_at.unwrap() > made.created_at);
    assert_eq!(bench.store.find_key(&[3; 32]).await.unwrap(), None);
    let again = bench.store.revoke_key(&bench.workspace, &made.id).await.unwrap().unwrap();
    assert_eq!(again.revoked_at, revoked.revoked_at);
}

pub(crate) async fn keys_are_listed_oldest_first(bench: &Bench) {
    let second = bench.store.create_key(&bench.workspace, bench.key("b", [3; 32])).await.unwrap();
    bench.store.create_key(&bench.workspace, bench.key("a", [4; 32])).await.unwrap();
    bench.store.revoke_key(&bench.workspace, &second.id).await.unwrap();
    let names: Vec<_> = bench.store.list_keys(&bench.workspace).await.unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["first", "b", "a"]);
    assert_eq!(bench.store.list_keys(&WorkspaceId::from_entropy([8; 16])).await.unwrap(), []);
    // Two keys of one hash would open two doors.
    assert!(bench.store.create_key(&bench.workspace, bench.key("twin", [4; 32])).await.is_err());
    assert_eq!(bench.store.list_keys(&bench.workspace).await.unwrap().len(), 3);
}
