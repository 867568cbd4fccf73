//! Master keys, database and blobs of a server, opened in the order in which each needs the one before.
//!
//! A master key that had to be made up is kept only after the database was opened with it, which a database with anything
//! sealed in it refuses: a server whose key file was lost says so and does not start with another.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use keywright_domain::with_causes;
use keywright_store::postgres::{PostgresOptions, PostgresStore};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{BlobError, Blobs, Clock, Entropy, MasterKeys, Store, Vault};

use crate::config::{BlobPlace, Config, DATABASE_FILE, DatabaseChoice};

/// What a server keeps things in.
pub(crate) struct Storage {
    pub(crate) masters: MasterKeys,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Blobs,
}

impl Storage {
    /// Opens all three, and makes what is not there yet.
    ///
    /// # Errors
    /// When one of them cannot be used, in words for the operator.
    pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> anyhow::Result<Self> {
        let masters = MasterKeys::load_or_draft(&config.master_key_file, entropy.as_ref())?;
        let vault = Vault::new(masters.clone(), Arc::clone(&entropy));
        let store = open_database(config, vault.clone(), clock).await?;
        masters.keep().context("the new master key cannot be kept")?;
        let blobs = open_blobs(&config.blobs, vault, entropy.as_ref()).await?;
        Ok(Self { masters, store, blobs })
    }
}

async fn open_database(config: &Config, vault: Vault, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Store>> {
    match &config.database {
        DatabaseChoice::Sqlite => {
            let path = config.data_dir.join(DATABASE_FILE);
            let store = SqliteStore::open(&path, vault, clock).await.context("the database cannot be opened")?;
            Ok(Arc::new(store))
        }
        DatabaseChoice::Postgres { url, direct_url } => {
            let mut options = PostgresOptions::new(url.reveal());
            options.direct_url = direct_url.as_ref().map(|url| url.reveal().to_owned());
            let store = PostgresStore::open(options, vault).await.context("the database cannot be opened")?;
            Ok(Arc::new(store))
        }
    }
}

async fn open_blobs(place: &BlobPlace, vault: Vault, entropy: &dyn Entropy) -> anyhow::Result<Blobs> {
    match place {
        BlobPlace::Folder(folder) => Blobs::in_folder(folder, vault).context("the blob folder cannot be used"),
        BlobPlace::S3(options) => {
            let blobs = Blobs::in_s3(options, vault).context("the S3 bucket cannot be used")?;
            match blobs.check(entropy).await {
                Ok(()) => {}
                // It may come while we serve, and everything but blobs can be served until then.
                Err(error @ BlobError::Unavailable(_)) => {
                    tracing::warn!(cause = with_causes(&error), bucket = options.bucket, "the S3 bucket does not answer");
                }
                Err(error) => bail!("the S3 bucket {} cannot be used: {}", options.bucket, with_causes(&error)),
            }
            Ok(blobs)
        }
    }
}
