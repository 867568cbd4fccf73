//! The vault as its callers see it: what opens, what does not, and data keys that came meanwhile.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::SystemEntropy;

fn workspace() -> WorkspaceId {
    WorkspaceId::from_entropy([1; 16])
}

fn vault_with(masters: impl Into<MasterKeys>) -> Vault {
    Vault::new(masters, Arc::new(SystemEntropy))
}

fn place(workspace: &WorkspaceId) -> Place<'_> {
    Place { workspace, table: "runs", column: "candidate", row: "r1" }
}

#[test]
fn a_value_opens_only_in_its_own_place() {
    let workspace = workspace();
    let vault = vault_with([1; 32]);
    vault.add_data_key(&vault.new_data_key(&workspace, KeyVersion::FIRST)).unwrap();
    let place = place(&workspace);
    let sealed = vault.seal(place, b"cookie").unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"cookie"));
    assert_eq!(vault.open(place, &sealed).unwrap(), b"cookie");
    for other in [Place { row: "r2", ..place }, Place { column: "result", ..place }, Place { table: "x", ..place }] {
        assert!(matches!(vault.open(other, &sealed), Err(VaultError::DoesNotOpen)));
    }
    let mut damaged = sealed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(vault.open(place, &damaged).is_err());
    for cut in 0..sealed.len() {
        assert!(matches!(vault.open(place, &sealed[..cut]), Err(VaultError::DoesNotOpen)), "{cut}");
    }
}

#[test]
fn a_data_key_seals_nothing_before_it_was_stored() {
    let (workspace, vault) = (workspace(), vault_with([1; 32]));
    let key = vault.new_data_key(&workspace, KeyVersion::FIRST);
    assert!(matches!(vault.seal(place(&workspace), b"x"), Err(VaultError::UnknownWorkspace)));
    vault.add_data_key(&key).unwrap();
    assert!(vault.seal(place(&workspace), b"x").is_ok());
}

#[test]
fn another_master_key_does_not_open_a_workspace() {
    let workspace = workspace();
    let wrapped = vault_with([1; 32]).new_data_key(&workspace, KeyVersion::FIRST);
    let other = vault_with([2; 32]);
    assert!(matches!(other.add_data_key(&wrapped), Err(VaultError::DoesNotOpen)));
    assert!(matches!(other.rewrap(&wrapped), Err(VaultError::DoesNotOpen)));
    let elsewhere = WrappedKey { version: KeyVersion::FIRST.next(), ..wrapped };
    assert!(matches!(vault_with([1; 32]).add_data_key(&elsewhere), Err(VaultError::DoesNotOpen)), "a key that was moved");
}

#[test]
fn the_newest_key_seals_and_every_key_opens() {
    let (workspace, vault) = (workspace(), vault_with([1; 32]));
    let place = place(&workspace);
    let mut sealed = Vec::new();
    let mut version = KeyVersion::FIRST;
    for _ in 0..3 {
        vault.add_data_key(&vault.new_data_key(&workspace, version)).unwrap();
        assert_eq!(vault.newest_data_key(&workspace), Some(version));
        sealed.push(vault.seal(place, b"x").unwrap());
        assert!(sealed.last().unwrap().starts_with(&header(version)));
        version = version.next();
    }
    assert!(sealed.is_sorted_by(|a, b| a[..sealing::HEADER_BYTES] < b[..sealing::HEADER_BYTES]), "a database finds the older");
    assert!(sealed.iter().all(|sealed| vault.open(place, sealed).unwrap() == b"x"));
}

#[test]
fn the_format_without_a_version_opens_with_the_first_key() {
    let (workspace, vault) = (workspace(), vault_with([1; 32]));
    let place = place(&workspace);
    let first = vault.new_data_key(&workspace, KeyVersion::FIRST);
    let cipher = XChaCha20Poly1305::new(&Key::from(*unwrap(&first, &MasterKey::from_bytes([1; 32])).unwrap()));
    let sealed = sealing::seal_bare(&cipher, &SystemEntropy, &place, b"x");
    vault.add_data_key(&first).unwrap();
    vault.add_data_key(&vault.new_data_key(&workspace, KeyVersion::FIRST.next())).unwrap();
    assert_eq!(vault.open(place, &sealed).unwrap(), b"x");
    assert!(sealed[..sealing::HEADER_BYTES] < header(KeyVersion::FIRST)[..]);
}

#[test]
fn a_data_key_is_rewrapped_once_and_stays_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let masters = MasterKeys::load_or_draft(&folder.path().join("master.key"), &SystemEntropy).unwrap();
    masters.keep().unwrap();
    let (workspace, vault) = (workspace(), vault_with(masters.clone()));
    let old = vault.new_data_key(&workspace, KeyVersion::FIRST);
    vault.add_data_key(&old).unwrap();
    let sealed = vault.seal(place(&workspace), b"x").unwrap();
    assert_eq!(vault.rewrap(&old).unwrap(), None);
    masters.rotate(&SystemEntropy).unwrap();
    let new = vault.rewrap(&old).unwrap().unwrap();
    assert_eq!(vault.rewrap(&new).unwrap(), None);
    let later = vault_with(MasterKeys::load(&folder.path().join("master.key")).unwrap());
    later.add_data_key(&new).unwrap();
    assert_eq!(later.open(place(&workspace), &sealed).unwrap(), b"x");
}

/// Keys as another process stored them.
#[derive(Default)]
struct Stored(Mutex<Vec<WrappedKey>>);

#[async_trait]
impl KeySource for Stored {
    async fn data_keys(&self, _workspace: &WorkspaceId) -> Result<Vec<WrappedKey>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

#[tokio::test]
async fn a_vault_learns_what_another_process_rotated_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let masters = MasterKeys::load_or_draft(&path, &SystemEntropy).unwrap();
    masters.keep().unwrap();
    let (workspace, running) = (workspace(), vault_with(masters));
    let first = running.new_data_key(&workspace, KeyVersion::FIRST);
    running.add_data_key(&first).unwrap();
    let stored = Arc::new(Stored::default());
    running.set_source(Arc::clone(&stored) as _);

    let rotating = vault_with(MasterKeys::load(&path).unwrap());
    rotating.masters().rotate(&SystemEntropy).unwrap();
    let second = rotating.new_data_key(&workspace, KeyVersion::FIRST.next());
    *stored.0.lock().unwrap() = vec![rotating.rewrap(&first).unwrap().unwrap(), second.clone()];
    rotating.add_data_key(&second).unwrap();
    let sealed = rotating.seal(place(&workspace), b"x").unwrap();

    let unknown = running.open(place(&workspace), &sealed).unwrap_err();
    assert!(unknown.is_unknown_key());
    running.learn(&workspace).await.unwrap();
    assert_eq!(running.open(place(&workspace), &sealed).unwrap(), b"x");
    assert_eq!(running.newest_data_key(&workspace), Some(second.version));
}
