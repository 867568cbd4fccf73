//! A look into a server's storage from outside, while the server runs or not.
//!
//! Takes no lock, makes no file and brings no schema up to date; refuses to work without the server's own master key. What is
//! written here is written in short transactions that a running server hardly notices.

use std::sync::Arc;

use anyhow::Context as _;
use keywright_store::postgres::{PostgresOptions, PostgresStore};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{Blobs, Clock, Entropy, MasterKeys, Store, SystemClock, SystemEntropy, Vault};

use crate::config::{BlobPlace, Config, DATABASE_FILE, DatabaseChoice};

/// What a server keeps things in, opened beside it.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) masters: MasterKeys,
    pub(super) store: Arc<dyn Store>,
    pub(super) blobs: Blobs,
}

impl Guest {
    /// Opens everything.
    ///
    /// # Errors
    /// When the keys, the database or the blobs cannot be used, in words for the operator.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let masters = MasterKeys::load(&config.master_key_file)?;
        let vault = Vault::new(masters.clone(), entropy());
        let store = open_database(config, vault.clone()).await.context("the database cannot be opened")?;
        let blobs = open_blobs(&config.blobs, vault)?;
        Ok(Self { masters, store, blobs })
    }
}

/// The system's randomness.
pub(super) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

async fn open_database(config: &Config, vault: Vault) -> anyhow::Result<Arc<dyn Store>> {
    match &config.database {
        DatabaseChoice::Sqlite => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            Ok(Arc::new(SqliteStore::open_as_guest(&config.data_dir.join(DATABASE_FILE), vault, clock).await?))
        }
        DatabaseChoice::Postgres { url, direct_url } => {
            let mut options = PostgresOptions::new(url.reveal());
            options.direct_url = direct_url.as_ref().map(|url| url.reveal().to_owned());
            Ok(Arc::new(PostgresStore::open_as_guest(options, vault).await?))
        }
    }
}

/// The blobs, without asking anything of them yet.
pub(super) fn open_blobs(place: &BlobPlace, vault: Vault) -> anyhow::Result<Blobs> {
    match place {
        BlobPlace::Folder(folder) => Blobs::in_folder(folder, vault).context("the blob folder cannot be used"),
        BlobPlace::S3(options) => Blobs::in_s3(options, vault).context("the S3 bucket cannot be used"),
    }
}
