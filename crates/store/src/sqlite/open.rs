//! Opening the database: alone, durable, at the newest schema, with every workspace's data key at hand.
//!
//! Refuses a file that another server has open, that is damaged or lies on another machine, settings under which an accepted
//! request could be lost, a schema that is newer than this program, and a master key that is not the one the data was written
//! with. Migrations run one by one, each in a transaction: if the process dies here, the schema is that of before or after one
//! of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection};
use thiserror::Error;

use super::SqliteStore;
use super::ballast::Ballast;
use super::data_keys::{self, DataKeyTable};
use super::file::{lock, make_private, not_opened, refuse_damage, refuse_network_file_system};
use super::runs::SetAside;
use super::writer::Writer;
use crate::halt::InMethod as _;
use crate::schema::check_schema;
use crate::{Clock, Signals, StoreError, Vault, VaultError};

static MIGRATIONS: Migrator = sqlx::migrate!("src/sqlite/migrations");

/// How long a statement waits for a lock that somebody else's tool (a backup, a shell) holds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections for reading. Reads are short; more would only keep more pages in memory.
const MAX_READERS: u32 = 4;

/// How long a read waits for one of them.
const READER_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the write-ahead log that are kept on disk once they are no longer needed.
const MAX_IDLE_WAL_BYTES: u32 = 64 * 1024 * 1024;

/// Why a database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another server has it open.
    #[error("the database {0} is in use by another server")]
    InUse(PathBuf),
    /// The file system refuses.
    #[error("the file {path} cannot be used")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not a database, or cannot be read.
    #[error("the database {path} cannot be opened")]
    Database {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// Its pages contradict each other: the disk, or something else than this program, has changed them.
    #[error(
        "the database {path} is damaged ({what}); it was left as it is. Move the data folder away and put the last backup in its place with `keywright restore`"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What SQLite found first.
        what: String,
    },
    /// It lies on another machine, where neither its locks nor its flushes can be relied on.
    #[error("the database {path} lies on a {kind} file system; it has to be on a disk of this machine")]
    NetworkFileSystem {
        /// Which file.
        path: PathBuf,
        /// What it is called.
        kind: &'static str,
    },
    /// The schema is newer than this program, or a migration failed.
    #[error("the schema of the database {path} cannot be brought up to date")]
    Schema {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: MigrateError,
    },
    /// SQLite did not take a setting that durability rests on.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    /// The data keys cannot be read.
    #[error("the data keys cannot be read")]
    DataKeys(#[source] StoreError),
    /// The master key is another one, or a stored key is damaged.
    #[error("the data key of workspace {workspace} cannot be opened")]
    WrongKey {
        /// Whose key.
        workspace: String,
        /// What the vault said.
        #[source]
        source: VaultError,
    },
}

/// A setting that durability rests on and that SQLite did not take.
#[derive(Debug, Error)]
#[error("the database runs with {setting} = {is}, but must run with {must_be}")]
pub struct NotDurable {
    /// Which setting.
    pub setting: &'static str,
    /// Its value.
    pub is: String,
    /// What it has to be.
    pub must_be: &'static str,
}

/// Opens the database at `path`, made if there is none.
pub(super) async fn open(path: &Path, vault: Vault, clock: Arc<dyn Clock>) -> Result<SqliteStore, OpenError> {
    refuse_network_file_system(path)?;
    let lock = lock(path)?;
    make_private(path)?;

    let options = options(path);
    let mut connection = options.connect().await.map_err(|source| not_opened(path, source))?;
    check_durability(&mut connection).await?;
    refuse_damage(&mut connection, path).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|source| OpenError::Schema { path: path.to_owned(), source })?;
    load_data_keys(&mut connection, &vault).await?;

    start(connection, options, path, vault, clock, Ballast::beside(path), Some(lock)).await
}

/// Opens the database at `path` beside whoever has it open.
pub(super) async fn open_as_guest(path: &Path, vault: Vault, clock: Arc<dyn Clock>) -> Result<SqliteStore, OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let options = options(path).create_if_missing(false);
    let mut connection = options.connect().await.map_err(failed)?;
    check_durability(&mut connection).await?;
    check_schema(&mut connection, &MIGRATIONS).await.map_err(|source| OpenError::Schema { path: path.to_owned(), source })?;
    load_data_keys(&mut connection, &vault).await?;
    start(connection, options, path, vault, clock, Ballast::none(), None).await
}

async fn start(
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    path: &Path,
    vault: Vault,
    clock: Arc<dyn Clock>,
    ballast: Ballast,
    lock: Option<File>,
) -> Result<SqliteStore, OpenError> {
    let readers = SqlitePoolOptions::new()
        .max_connections(MAX_READERS)
        .acquire_timeout(READER_TIMEOUT)
        .connect_with(options.clone().create_if_missing(false).pragma("query_only", "ON"))
        .await
        .map_err(|source| OpenError::Database { path: path.to_owned(), source })?;
    vault.set_source(Arc::new(DataKeyTable(readers.clone())));
    let signals = Signals::default();
    let writer = Writer::start(connection, options, clock, signals.clone(), ballast, lock);
    Ok(SqliteStore { writer, readers, vault, signals, set_aside: SetAside::default() })
}

/// What every connection runs with.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", MAX_IDLE_WAL_BYTES.to_string())
        // What was deleted is overwritten, and nothing of ours spills into a temporary file.
        .pragma("secure_delete", "ON")
        .pragma("temp_store", "MEMORY")
}

/// Checks what the connection really runs with; SQLite ignores a setting that it cannot take.
pub(super) async fn check_durability(connection: &mut SqliteConnection) -> Result<(), NotDurable> {
    const EXPECTED: [(&str, &str, &str); 3] = [
        ("journal_mode", "PRAGMA journal_mode", "wal"),
        ("synchronous", "PRAGMA synchronous", "2"),
        ("foreign_keys", "PRAGMA foreign_keys", "1"),
    ];
    for (setting, pragma, must_be) in EXPECTED {
        let is = match sqlx::query(pragma).fetch_one(&mut *connection).await {
            Ok(row) => row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string())),
            Err(error) => Err(error),
        };
        let is = is.unwrap_or_else(|error| error.to_string());
        if is != must_be {
            return Err(NotDurable { setting, is, must_be });
        }
    }
    Ok(())
}

async fn load_data_keys(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), OpenError> {
    for (key, _) in data_keys::list(connection).await.in_method("list_data_keys").map_err(OpenError::DataKeys)? {
        let wrong = |source| OpenError::WrongKey { workspace: key.workspace.to_string(), source };
        vault.add_data_key(&key).map_err(wrong)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_options_are_durable_and_weaker_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keywright.db");
        let ours = options(&path).create_if_missing(true);
        check_durability(&mut ours.connect().await.unwrap()).await.unwrap();
        for (weaker, setting) in [
            (ours.clone().synchronous(SqliteSynchronous::Normal), "synchronous"),
            (ours.clone().foreign_keys(false), "foreign_keys"),
            (ours.clone().journal_mode(SqliteJournalMode::Delete), "journal_mode"),
        ] {
            let refused = check_durability(&mut weaker.connect().await.unwrap()).await.unwrap_err();
            assert_eq!(refused.setting, setting);
        }
    }
}
