//! A copy of the database, made while a server goes on writing to it.
//!
//! `VACUUM INTO` reads one moment of the database and writes it to a new file; nobody waits for it, and it takes no lock that a
//! server would miss. Refuses to write over a file with anything in it. If the process dies here, half a copy is left under
//! the copy's name, which is why whoever asks for one gives it its final name last.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::{OpenError, inventory};
use crate::halt::InMethod as _;
use crate::{NamedBlob, NamedBy, StoreError};

/// A copy, opened for reading.
#[derive(Debug)]
pub struct DatabaseCopy {
    path: PathBuf,
    connection: SqliteConnection,
}

impl DatabaseCopy {
    /// Copies the database at `from` to the new file `to`, which is flushed to disk and readable by us alone.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn make(from: &Path, to: &Path) -> Result<Self, OpenError> {
        let file_failed = |source| OpenError::File { path: to.to_owned(), source };
        // SQLite takes an empty file for a new one, and this one has the right mode from the start.
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(to).map_err(file_failed)?;
        let name = to.to_str().ok_or_else(|| file_failed(std::io::ErrorKind::InvalidFilename.into()))?;

        let source_failed = |source| OpenError::Database { path: from.to_owned(), source };
        let mut source = read_only(from).connect().await.map_err(source_failed)?;
        sqlx::query("VACUUM INTO $1").bind(name).execute(&mut source).await.map_err(source_failed)?;
        source.close().await.map_err(source_failed)?;
        File::open(to).and_then(|file| file.sync_all()).map_err(file_failed)?;

        let connection = read_only(to).connect().await;
        let connection = connection.map_err(|source| OpenError::Database { path: to.to_owned(), source })?;
        Ok(Self { path: to.to_owned(), connection })
    }

    /// Blobs that rows of the copy name; see [`crate::Inventory::list_named_blobs`].
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub async fn list_named_blobs(&mut self, by: NamedBy, after: &str, limit: u32) -> Result<Vec<NamedBlob>, StoreError> {
        inventory::list(&mut self.connection, by, after, limit).await.in_method("list_named_blobs")
    }

    /// Closes the copy.
    ///
    /// # Errors
    /// When it cannot be closed in order.
    pub async fn close(self) -> Result<(), OpenError> {
        let Self { path, connection } = self;
        connection.close().await.map_err(|source| OpenError::Database { path, source })
    }
}

fn read_only(path: &Path) -> SqliteConnectOptions {
    // Nothing of ours spills into a temporary file.
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(super::open::BUSY_TIMEOUT)
        .pragma("temp_store", "MEMORY")
}
