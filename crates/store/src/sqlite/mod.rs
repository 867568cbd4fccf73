//! The SQLite backend: one file, one process, one writer.
//!
//! Write-ahead log with `synchronous=FULL`; every write goes through one connection that commits in groups
//! (`writer.rs`), every read through a small pool that cannot write. Refuses to share its file with another process. If the
//! process dies here, the file holds every transaction that was answered and nothing of any other.

mod attempts;
mod auth_sessions;
mod deployments;
mod files;
pub(crate) mod halt;
mod key_values;
mod keys;
mod open;
mod operations;
mod projects;
mod runs;
mod writer;

use std::path::Path;

use futures::future::BoxFuture;
use sqlx::{SqliteConnection, SqlitePool};

pub use open::{NotDurable, OpenError};

use self::halt::Halt;
use self::runs::SetAside;
use self::writer::Writer;
use crate::{Signals, Store, StoreError, Vault};

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
    /// workspaces.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path, vault: Vault) -> Result<Self, OpenError> {
        open::open(path, vault).await
    }

    /// Finishes the writes that were taken, refuses further ones, and closes the file. Dropping the store does the same,
    /// unseen.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.stop().await;
    }

    /// Has `work` done by the writer, in a transaction of its own as far as it can tell.
    async fn write<T, F>(&self, context: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Halt>> + Send + 'static,
    {
        self.writer.write(context, work).await
    }
}

impl Store for SqliteStore {
    fn signals(&self) -> &Signals {
        &self.signals
    }
}
