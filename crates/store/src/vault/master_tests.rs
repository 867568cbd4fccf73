//! The key file and the ring of master keys: made once, private, replaced whole, read again when somebody has changed it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::SystemEntropy;

#[test]
fn the_key_file_is_private_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let first = MasterKeys::load_or_draft(&path, &SystemEntropy).unwrap();
    assert!(first.is_draft() && !path.exists(), "a draft is in no file");
    first.keep().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = MasterKeys::load_or_draft(&path, &SystemEntropy).unwrap();
    assert!(!again.is_draft());
    assert_eq!(again.derive("x"), first.derive("x"));
    again.keep().unwrap();
    assert_eq!(MasterKeys::load(&path).unwrap().derive("x"), first.derive("x"));

    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(MasterKeys::load(&path), Err(VaultError::KeyFileOpen(_))));
    assert!(matches!(MasterKeys::load_or_draft(&path, &SystemEntropy), Err(VaultError::KeyFileOpen(_))));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    for wrong in [
        "",
        "\n",
        "nonsense",
        &"0".repeat(63),
        &"0".repeat(65),
        &"+1".repeat(32),
        "\u{e9}",
        &["0"; 17].map(|_| "00".repeat(32)).join("\n"),
    ] {
        fs::write(&path, wrong).unwrap();
        assert!(matches!(MasterKeys::load_or_draft(&path, &SystemEntropy), Err(VaultError::NotAKey(_))), "{wrong}");
    }
}

#[test]
fn a_draft_does_not_overwrite_a_file_that_came_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let [one, other] = [(); 2].map(|()| MasterKeys::load_or_draft(&path, &SystemEntropy).unwrap());
    one.keep().unwrap();
    assert!(matches!(other.keep(), Err(VaultError::KeyFileBusy(_))));
    assert_eq!(MasterKeys::load(&path).unwrap().derive("x"), one.derive("x"));
}

#[test]
fn a_missing_file_is_an_error_for_whoever_must_not_make_one() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(MasterKeys::load(&folder.path().join("master.key")), Err(VaultError::NoKeyFile(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_rotation_puts_a_new_key_in_front_of_the_older_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = MasterKeys::load_or_draft(&path, &SystemEntropy).unwrap();
    keys.keep().unwrap();
    let elsewhere = MasterKeys::load(&path).unwrap();
    let old = keys.derive("x");
    keys.rotate(&SystemEntropy).unwrap();
    let new = keys.derive("x");
    assert_ne!(old, new);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let [a, b] = keys.derive_all("x").try_into().unwrap();
    assert_eq!((*a, *b), (new, old));

    assert_eq!(elsewhere.derive("x"), old, "nobody reads the file again without need");
    assert!(elsewhere.reload().unwrap());
    assert_eq!(elsewhere.derive("x"), new);
    assert!(!elsewhere.reload().unwrap(), "the same file is read once");
}

#[test]
fn a_file_that_somebody_changes_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = MasterKeys::load_or_draft(&path, &SystemEntropy).unwrap();
    keys.keep().unwrap();
    let before = fs::read(&path).unwrap();
    let locked = key_file::lock(&path).unwrap();
    assert!(matches!(keys.rotate(&SystemEntropy), Err(VaultError::KeyFileBusy(_))));
    assert_eq!(fs::read(&path).unwrap(), before);
    drop(locked);
    keys.rotate(&SystemEntropy).unwrap();
}

#[test]
fn when_keys_are_too_many_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = MasterKeys::load_or_draft(&path, &SystemEntropy).unwrap();
    keys.keep().unwrap();
    let (oldest, mut newest) = (keys.derive("x"), Vec::new());
    for _ in 0..key_file::MAX_KEYS {
        keys.rotate(&SystemEntropy).unwrap();
        newest.insert(0, keys.derive("x"));
    }
    let kept: Vec<_> = MasterKeys::load(&path).unwrap().derive_all("x").iter().map(|key| **key).collect();
    assert_eq!(kept, newest);
    assert!(!kept.contains(&oldest));
}

#[test]
fn a_key_never_prints() {
    let keys = MasterKeys::from([0xab; KEY_BYTES]);
    assert!(!format!("{keys:?} {:?}", keys.current()).contains("171"));
}
