//! The PostgreSQL backend: many processes over one database.
//!
//! Every write is one READ COMMITTED transaction (`transaction.rs`) that is carried out by a task of its own, so that it is
//! finished even if whoever asked has gone away. Deadlocks are tried again (`work.rs`); a COMMIT whose answer was lost is
//! asked for (`commit_fate.rs`). Other processes are told of commits, and theirs are heard (`hints.rs`), as a hint only.
//!
//! Refuses a server that would answer a commit before it is flushed, and a schema newer than this program. If the process
//! dies here, the database holds every transaction that was answered, and of any other all or nothing.
//!
//! # The order of locks
//!
//! Whoever needs several takes them in this order, which is why nobody waits for somebody who waits for him:
//!
//! 1. an idempotency key, a first start (advisory, `locks.rs`);
//! 2. `leases`, then `workers`, by id;
//! 3. `deployments`, then `projects`;
//! 4. lines of sessions (advisory, `locks.rs`), ascending, wherever `has_turn` is decided or a session is made or deleted;
//! 5. `runs`, by seq; with them their `attempts`, `run_events`, `operations` and sessions;
//! 6. `artifacts`, `files`, `blob_garbage`.
//!
//! Claims of runs and builds take rows of `projects`, `runs` and `deployments` only if nobody has them (SKIP LOCKED), so they
//! wait for nobody whatever the order. A run that waits for its turn (`has_turn` false) has no owner, so passing the turn on
//! inside a line meets neither claims nor rescues.

mod attempts;
mod audit;
mod auth_sessions;
mod commit_fate;
mod data_keys;
mod deployments;
mod files;
pub(crate) mod halt;
mod hints;
mod history;
mod inventory;
mod key_values;
mod keys;
mod leases;
mod link;
mod locks;
mod open;
mod operations;
mod options;
mod pools;
mod projects;
mod runs;
mod secrets;
mod transaction;
mod work;
mod workers;

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::Timestamp;

pub use open::{NotDurable, OpenError};
pub use options::PostgresOptions;

use self::hints::Hints;
use self::open::SchemaPolicy;
use self::pools::Lane;
use self::transaction::Tx;
use self::work::Desk;
use crate::halt::Halt;
use crate::{Signals, Store, StoreError, Vault};

/// A store in a PostgreSQL database, shared with other processes.
pub struct PostgresStore {
    desk: Arc<Desk>,
    hints: Hints,
}

impl PostgresStore {
    /// Opens the database, brings its schema up to date, and tells `vault` the data keys of all its workspaces.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: PostgresOptions, vault: Vault) -> Result<Self, OpenError> {
        open::open(options, vault, SchemaPolicy::Migrate).await
    }

    /// Opens a database beside the servers that use it, to look at it or to change a little of it. Brings no schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; a schema that is not exactly this program's is one too.
    pub async fn open_as_guest(options: PostgresOptions, vault: Vault) -> Result<Self, OpenError> {
        open::open(options, vault, SchemaPolicy::MustFit).await
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn signals(&self) -> &Signals {
        self.desk.signals()
    }

    async fn ping(&self) -> Result<Timestamp, StoreError> {
        self.write(Lane::Heart, "ping", (), |tx, ()| ping(tx).boxed()).await
    }

    async fn close(&self) {
        self.hints.stop().await;
        self.desk.stop().await;
    }
}

/// A transaction with a number of its own was begun, so the server takes writes unless it says that it does not.
async fn ping(tx: &mut Tx) -> Result<Timestamp, Halt> {
    if tx.is_read_only() {
        return Err(StoreError::Unavailable("the database takes no writes now".into()).into());
    }
    Ok(tx.now)
}
