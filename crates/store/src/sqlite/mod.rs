//! The SQLite backend: one file, one process, one writer.
//!
//! Write-ahead log with `synchronous=FULL`; every write goes through one connection that commits in groups
//! (`writer.rs`), every read through a small pool that cannot write. Refuses to share its file with another process. If the
//! process dies here, the file holds every transaction that was answered and nothing of any other.

mod attempts;
mod audit;
mod auth_sessions;
mod backup;
mod ballast;
mod clock;
mod data_keys;
mod deployments;
mod file;
mod files;
pub(crate) mod halt;
mod history;
mod inventory;
mod key_values;
mod keys;
mod leases;
mod open;
mod operations;
mod projects;
mod runs;
mod secrets;
mod wal;
mod workers;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use keywright_domain::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};

pub use backup::DatabaseCopy;
pub use open::{NotDurable, OpenError};

use self::runs::SetAside;
use self::writer::Writer;
use crate::halt::{Halt, InMethod as _};
use crate::{Clock, Signals, Store, StoreError, Vault};

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    vault: Vault,
    signals: Signals,
    set_aside: SetAside,
}

impl SqliteStore {
    /// Opens the database at `path`, made with mode 0600 if there is none, and tells `vault` the data keys of all its
    /// workspaces. `clock` is the database's clock: every moment that is stored is one of its.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path, vault: Vault, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        open::open(path, vault, clock).await
    }

    /// Opens a database that a server may have open, to look at it or to change a little of it in short transactions. Takes no
    /// lock, makes no file and brings no schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; a schema that is not exactly this program's is one too.
    pub async fn open_as_guest(path: &Path, vault: Vault, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        open::open_as_guest(path, vault, clock).await
    }

    /// Has `work` done by the writer, in a transaction of its own as far as it can tell, at a moment of the database's clock.
    /// Work that meets a data key which came meanwhile has changed nothing and is done once more with that key.
    async fn write<T, F>(&self, context: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection, Timestamp) -> BoxFuture<'c, Result<T, Halt>> + Clone + Send + 'static,
    {
        match self.writer.write(context, work.clone()).await {
            Err(StoreError::Vault(error)) if error.is_unknown_key() => {
                self.learn_keys().await?;
                self.writer.write(context, work).await
            }
            other => other,
        }
    }

    /// Reads something that may have to be opened, once more if it meets a data key which came meanwhile.
    async fn open_sealed<T, R>(&self, context: &'static str, work: impl Fn() -> R + Send) -> Result<T, StoreError>
    where
        R: Future<Output = Result<T, Halt>> + Send,
    {
        match work().await {
            Err(Halt::Store(StoreError::Vault(error))) if error.is_unknown_key() => {
                self.learn_keys().await?;
                work().await.in_method(context)
            }
            other => other.in_method(context),
        }
    }

    /// Tells the vault of every data key that there is.
    async fn learn_keys(&self) -> Result<(), StoreError> {
        for (key, _) in data_keys::list(&self.readers).await.in_method("learn_keys")? {
            self.vault.add_data_key(&key)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn signals(&self) -> &Signals {
        &self.signals
    }

    async fn ping(&self) -> Result<Timestamp, StoreError> {
        self.write("ping", |tx, now| ping(tx, now).boxed()).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.stop().await;
    }
}

/// Writes a number that nobody reads into the file's head, because only a write tells whether there is room for one.
async fn ping(tx: &mut SqliteConnection, now: Timestamp) -> Result<Timestamp, Halt> {
    sqlx::query("PRAGMA user_version = 1").execute(tx).await?;
    Ok(now)
}
