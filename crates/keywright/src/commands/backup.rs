//! `keywright backup`: the database and the blobs that it names, in one new folder, while the server runs.
//!
//! The database comes first and its blobs after, so that the copy names nothing that was stored too late to be taken along;
//! when the server removed a blob in between, the database is copied once more. The folder gets its name when everything in it
//! is on disk: if the process dies here, all that is left is a folder whose name ends in `.partial`, which the next backup of
//! the same name removes. The master key is left out unless it is asked for, because whoever has both has everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use keywright_store::sqlite::DatabaseCopy;
use keywright_store::{Blobs, Clock as _, MasterKeys, NamedBy, SystemClock, Vault};
use keywright_wire::rfc3339;
use serde_json::json;

use super::backup_folder::{BLOBS, Digest, Manifest, NewFolder, copy_private};
use super::guest::{entropy, open_blobs};
use crate::cli::BackupOptions;
use crate::config::{Config, DATABASE_FILE, DatabaseChoice, MASTER_KEY_FILE};

/// How often the database is copied before a blob that it names and that is not there counts as lost.
const MAX_ROUNDS: u32 = 5;

/// Rows read at once.
const PAGE: u32 = 500;

/// Makes the backup.
pub(crate) async fn backup(options: BackupOptions) -> anyhow::Result<ExitCode> {
    let config = Config::load(options.server)?;
    match config.database {
        DatabaseChoice::Sqlite => {}
        DatabaseChoice::Postgres { .. } => {
            bail!("a PostgreSQL database is backed up with pg_dump, and its blobs after it; see docs/OPERATIONS.md")
        }
    }
    let database = config.data_dir.join(DATABASE_FILE);
    ensure!(database.is_file(), "{} is not the data folder of a server", config.data_dir.display());
    // Blobs are copied as they are; no key is needed for that.
    let vault = Vault::new(MasterKeys::from([0; 32]), entropy());
    let blobs = open_blobs(&config.blobs, vault)?;

    let folder = NewFolder::make(&options.to)?;
    let contents = Contents::gather(&database, &blobs, folder.path()).await?;
    if options.with_key {
        copy_private(&config.master_key_file, &folder.path().join(MASTER_KEY_FILE)).context("the master key was not copied")?;
    }
    let manifest = Manifest {
        format: Manifest::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: rfc3339(SystemClock.now()),
        has_master_key: options.with_key,
        missing: contents.missing,
        sums: String::new(),
    };
    let (files, missing) = (contents.digests.len(), manifest.missing.len());
    folder.finish(manifest, &contents.digests).context("the backup was not finished")?;

    if missing > 0 {
        eprintln!("{missing} blobs that the database names are not there and so not in the backup; see `keywright verify`");
    }
    if options.json {
        let to = options.to.display().to_string();
        println!("{}", json!({"to": to, "files": files, "missing": missing, "hasMasterKey": options.with_key}));
    } else {
        eprintln!("{files} files are in {}.", options.to.display());
        match options.with_key {
            true => eprintln!("The master key is among them: whoever has this folder can read everything in it."),
            false => {
                eprintln!("The master key is not among them: without {} it is worth nothing.", config.master_key_file.display())
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What has been gathered.
#[derive(Default)]
struct Contents {
    /// Every file of the backup by its path.
    digests: BTreeMap<String, Digest>,
    /// Blobs that the database names and that are not there.
    missing: Vec<String>,
}

impl Contents {
    /// Copies the database and what it names into a folder.
    async fn gather(database: &Path, blobs: &Blobs, folder: &Path) -> anyhow::Result<Self> {
        let mut copied = BTreeMap::new();
        let mut missing_before = None;
        for _ in 0..MAX_ROUNDS {
            let contents = Self::round(database, blobs, folder, &mut copied).await?;
            // What is missing twice was not removed just now.
            if contents.missing.is_empty() || missing_before.as_ref() == Some(&contents.missing) {
                for path in copied.keys().filter(|path| !contents.digests.contains_key(*path)) {
                    fs::remove_file(folder.join(path)).context("a blob that is not needed cannot be removed")?;
                }
                return Ok(contents);
            }
            missing_before = Some(contents.missing);
        }
        bail!("blobs were removed faster than they could be copied")
    }

    async fn round(database: &Path, blobs: &Blobs, folder: &Path, copied: &mut BTreeMap<String, Digest>) -> anyhow::Result<Self> {
        let target = folder.join(DATABASE_FILE);
        match fs::remove_file(&target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("an older copy is in the way");
            }
            Ok(()) | Err(_) => {}
        }
        let mut copy = DatabaseCopy::make(database, &target).await.context("the database cannot be copied")?;
        let mut contents = Self::default();
        for by in NamedBy::ALL {
            let mut after = String::new();
            loop {
                let page = copy.list_named_blobs(by, &after, PAGE).await.context("the copy cannot be read")?;
                for blob in &page {
                    let path = format!("{BLOBS}/{}", Blobs::path(&blob.workspace, &blob.key));
                    let digest = match copied.get(&path) {
                        Some(digest) => digest.clone(),
                        None => match blobs.get_sealed(&blob.workspace, &blob.key).await.context("a blob cannot be read")? {
                            Some(bytes) => {
                                let digest = Digest::write(folder, &path, &bytes).context("a blob cannot be copied")?;
                                copied.insert(path.clone(), digest.clone());
                                digest
                            }
                            None => {
                                contents.missing.push(path);
                                continue;
                            }
                        },
                    };
                    contents.digests.insert(path, digest);
                }
                match page.last() {
                    Some(last) if page.len() >= PAGE as usize => after.clone_from(&last.row),
                    Some(_) | None => break,
                }
            }
        }
        copy.close().await.context("the copy cannot be closed")?;
        contents.digests.insert(DATABASE_FILE.to_owned(), Digest::of_file(&target).context("the copy cannot be read")?);
        Ok(contents)
    }
}
