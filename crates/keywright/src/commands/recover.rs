//! `keywright keys recover`: a way back in for whoever owns the data folder and lost every key.
//!
//! Works on the folder itself, so it needs the master key that lies there and asks no server; the database's lock refuses it
//! while one runs. Never makes a database or a master key. If the process dies after the key was stored and before it was
//! printed, the key is lost and another can be made the same way.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use keywright_domain::WorkspaceId;
use keywright_store::sqlite::SqliteStore;
use keywright_store::{Bootstrap, Entropy, Keys as _, MasterKeys, NewKey, Store as _, SystemClock, SystemEntropy, Vault};
use serde_json::json;

use crate::config::{DATABASE_FILE, MASTER_KEY_FILE};

/// Makes a key for the workspace in the folder and prints it.
pub(super) async fn recover(data_dir: &Path, name: String, is_json: bool) -> anyhow::Result<()> {
    let (database, master) = (data_dir.join(DATABASE_FILE), data_dir.join(MASTER_KEY_FILE));
    ensure!(database.is_file() && master.is_file(), "{} is not the data folder of a server", data_dir.display());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let vault = Vault::new(MasterKeys::load(&master)?, Arc::clone(&entropy));
    let store = SqliteStore::open(&database, vault, Arc::new(SystemClock)).await.context("the database cannot be opened")?;
    let (new, shown) = NewKey::generate(name, entropy.as_ref());
    let offered = WorkspaceId::from_entropy(entropy.bytes());
    // A server that never came to its first line has no workspace yet; then this key is the first.
    let workspace = match store.bootstrap(&offered, new.clone()).await.context("no key was made")? {
        Bootstrap::Created => offered,
        Bootstrap::Existing(workspace) => {
            store.create_key(&workspace, new).await.context("no key was made")?;
            workspace
        }
    };
    store.close().await;
    if is_json {
        println!("{}", json!({"workspaceId": workspace.as_str(), "apiKey": shown.reveal()}));
    } else {
        eprintln!("This is the only time the key is shown. Workspace: {workspace}");
        println!("{}", shown.reveal());
    }
    Ok(())
}
