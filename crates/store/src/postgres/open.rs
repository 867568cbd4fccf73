//! Opening the database: at the newest schema, durable, with every workspace's data key at hand.
//!
//! Refuses a schema that is newer than this program, a server that would answer a commit before it is flushed, and a master
//! key that is not the one the data was written with. Migrations run one by one, each in a transaction, under a lock that
//! makes others who start at the same time wait: if the process dies here, the schema is that of before or after one of them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::data_keys::{self, DataKeyTable};
use super::hints::{Announcer, Hints};
use super::options::shown;
use super::pools::Pools;
use super::runs::SetAside;
use super::work::Desk;
use super::{PostgresOptions, PostgresStore};
use crate::schema::check_schema;
use crate::{Signals, StoreError, Vault, VaultError};

static MIGRATIONS: Migrator = sqlx::migrate!("src/postgres/migrations");

/// How long the server is waited for at the start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements that are kept prepared on each connection; there are fewer.
const MAX_PREPARED: usize = 256;

/// Why a database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address makes no sense.
    #[error("the address of the database cannot be read")]
    Address(#[source] sqlx::Error),
    /// It cannot be reached, or does not let us in.
    #[error("the database {database} cannot be opened")]
    Database {
        /// Which, without its password.
        database: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// It does not answer.
    #[error("the database {0} does not answer")]
    Silent(String),
    /// The schema is newer than this program, or a migration failed.
    #[error("the schema of the database {database} cannot be brought up to date")]
    Schema {
        /// Which, without its password.
        database: String,
        /// What is wrong with it.
        #[source]
        source: MigrateError,
    },
    /// The server does not keep what it has answered.
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

/// A setting under which a commit that was answered could be lost.
#[derive(Debug, Error)]
#[error("the database runs with {setting} = {is}, under which what was accepted could be lost")]
pub struct NotDurable {
    /// Which setting.
    pub setting: &'static str,
    /// Its value.
    pub is: String,
}

/// Whether a schema is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaPolicy {
    /// It is, when it is older than this program.
    Migrate,
    /// It must be exactly this program's already.
    MustFit,
}

/// Opens the database.
pub(super) async fn open(options: PostgresOptions, vault: Vault, policy: SchemaPolicy) -> Result<PostgresStore, OpenError> {
    let is_pooled = options.direct_url.is_some();
    let pooled = options.pooled().map_err(OpenError::Address)?.statement_cache_capacity(if is_pooled { 0 } else { MAX_PREPARED });
    let direct = options.direct().map_err(OpenError::Address)?;
    let database = shown(options.direct_url.as_deref().unwrap_or(&options.url));
    let failed = |source| OpenError::Database { database: database.clone(), source };

    let mut connection = match tokio::time::timeout(CONNECT_TIMEOUT, direct.connect()).await {
        Ok(connected) => connected.map_err(failed)?,
        Err(_) => return Err(OpenError::Silent(database)),
    };
    check_durability(&mut connection).await.map_err(failed)??;
    let fitting = match policy {
        SchemaPolicy::Migrate => MIGRATIONS.run(&mut connection).await,
        SchemaPolicy::MustFit => check_schema(&mut connection, &MIGRATIONS).await,
    };
    fitting.map_err(|source| OpenError::Schema { database: database.clone(), source })?;
    load_data_keys(&mut connection, &vault).await?;
    connection.close().await.map_err(failed)?;

    let announcer = Announcer::new(Signals::default());
    let pools = Pools::new(&options, &pooled);
    vault.set_source(Arc::new(DataKeyTable::new(pools.clone())));
    let hints = Hints::start(&announcer, pools.clone(), direct.clone()).await;
    let desk = Desk {
        pools,
        direct,
        is_pooled,
        clock: options.clock,
        vault,
        announcer,
        set_aside: SetAside::default(),
        stop: CancellationToken::new(),
        tracker: TaskTracker::new(),
    };
    Ok(PostgresStore { desk: Arc::new(desk), hints })
}

/// Checks what the server would do with a commit. That it flushes at all is its operator's business, who is told when it does
/// not; that a commit is answered only after it was flushed is ours.
async fn check_durability(connection: &mut PgConnection) -> Result<Result<(), NotDurable>, sqlx::Error> {
    let query = "SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes')";
    let (synchronous_commit, fsync, full_page_writes): (String, String, String) =
        sqlx::query_as(query).fetch_one(connection).await?;
    for (setting, is) in [("fsync", fsync), ("full_page_writes", full_page_writes)] {
        if is == "off" {
            tracing::warn!("the database runs with {setting} = off: when its machine loses power, what was accepted can be lost");
        }
    }
    if synchronous_commit == "off" {
        return Ok(Err(NotDurable { setting: "synchronous_commit", is: synchronous_commit }));
    }
    Ok(Ok(()))
}

async fn load_data_keys(connection: &mut PgConnection, vault: &Vault) -> Result<(), OpenError> {
    for key in data_keys::list_at_start(connection).await.map_err(OpenError::DataKeys)? {
        let wrong = |source| OpenError::WrongKey { workspace: key.workspace.to_string(), source };
        vault.add_data_key(&key).map_err(wrong)?;
    }
    Ok(())
}
