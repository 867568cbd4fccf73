//! `keywright restore`: a backup into a new data folder.
//!
//! Every file is compared with its digest as it is copied; then the database is opened with the master key and everything is
//! examined, before the folder gets its name. Refuses a folder with anything in it, a key that is not the backup's, and a
//! backup in which anything is broken. If the process dies here, all that is left is a folder whose name ends in `.partial`,
//! which the next restore of the same name removes.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{Blobs, MasterKeys, Store as _, SystemClock, Vault};
use serde_json::json;

use super::backup_folder::{BLOBS, Manifest, NewFolder, copy_checked, copy_private};
use super::examine::{Depth, Findings, examine};
use super::guest::entropy;
use crate::cli::RestoreOptions;
use crate::config::{DATABASE_FILE, MASTER_KEY_FILE};

/// How many of the things that are broken are named.
const MAX_NAMED: usize = 20;

/// Restores.
pub(crate) async fn restore(options: RestoreOptions) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::read(&options.from)?;
    let key_file = match options.master_key_file {
        Some(path) => path,
        None => {
            let why = "the master key is not in this backup; name the file with --master-key-file";
            ensure!(manifest.has_master_key, why);
            options.from.join(MASTER_KEY_FILE)
        }
    };
    let folder = NewFolder::make(&options.data_dir)?;
    let files = copy_checked(&options.from, &manifest, folder.path())?;
    let own_key = folder.path().join(MASTER_KEY_FILE);
    // Read first, so that a file that is no key, or that everybody can read, is refused as at any start.
    MasterKeys::load(&key_file)?;
    copy_private(&key_file, &own_key).context("the master key cannot be restored")?;
    let findings = check(folder.path(), &manifest).await?;
    for broken in findings.violations.iter().take(MAX_NAMED) {
        eprintln!("BROKEN  {}: {}", broken.invariant, broken.row);
    }
    ensure!(
        findings.violations.is_empty(),
        "{} things are broken in this backup; nothing was restored",
        findings.violations.len()
    );
    folder.give_its_name().context("the data folder cannot get its name")?;

    if options.json {
        let to = options.data_dir.display().to_string();
        println!("{}", json!({"dataDir": to, "files": files, "sealedValues": findings.sealed_values, "blobs": findings.blobs}));
    } else {
        eprintln!("{files} files of {} are in {}, and nothing is broken.", manifest.created_at, options.data_dir.display());
        eprintln!("Start a server on it only when the one that was backed up does not run any more.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens what was copied as a server would, and examines it.
async fn check(folder: &Path, manifest: &Manifest) -> anyhow::Result<Findings> {
    let masters = MasterKeys::load(&folder.join(MASTER_KEY_FILE))?;
    let vault = Vault::new(masters, entropy());
    let store = SqliteStore::open(&folder.join(DATABASE_FILE), vault.clone(), Arc::new(SystemClock)).await;
    let store = store.context("the database cannot be opened")?;
    let blobs = Blobs::in_folder(&folder.join(BLOBS), vault).context("the blob folder cannot be used")?;
    let excused = manifest.missing.iter().filter_map(|path| path.strip_prefix(BLOBS)?.strip_prefix('/')).map(str::to_owned);
    let findings = examine(&store, &blobs, Depth::Content, &excused.collect()).await;
    store.close().await;
    findings
}
