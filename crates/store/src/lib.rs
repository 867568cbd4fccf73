//! The port between Keywright and its databases: one trait per noun, each method one whole transaction; the blob store;
//! the vault that encrypts what must not lie in the clear; and the two backends, SQLite and PostgreSQL.
//!
//! A method that returns `Ok` has committed and, where it writes, has been flushed to disk. A method that returns an error
//! has changed nothing. If the process dies inside a method, the database holds either all of it or nothing of it.

mod ambient;
mod audit;
mod blobs;
mod error;
mod forms;
mod halt;
mod links;
pub mod planted;
mod port;
pub mod postgres;
mod row;
mod schema;
mod sealed;
mod secrets;
mod signals;
pub mod sqlite;
mod vault;

use std::fmt::Debug;

use async_trait::async_trait;
use keywright_domain::Timestamp;

pub use ambient::{Clock, Entropy, SystemClock, SystemEntropy};
pub use blobs::{BlobError, BlobKey, Blobs, S3Options, StoredObject};
pub use error::StoreError;
pub use links::FileLinks;
pub use port::attempts::{AttemptClose, AttemptOutcome, AttemptRecord, Attempts, StoredBlob, TraceStatus};
pub use port::audit::{Audit, Violation};
pub use port::auth_sessions::{AuthSession, AuthSessions, SessionSecrets};
pub use port::deployments::{BuildEnd, BuiltDeployment, Deployment, Deployments, NewDeployment};
pub use port::files::{Files, StoredFile};
pub use port::history::{Expired, GarbageBlob, History, RunEventKind, RunEventRecord};
pub use port::inventory::{Inventory, NamedBlob, NamedBy};
pub use port::key_values::KeyValues;
pub use port::keys::{ApiKey, Bootstrap, Keys, NewKey};
pub use port::leases::{Held, LeaseName, Leases};
pub use port::operations::{Operation, Operations};
pub use port::projects::{ActiveDeployment, Project, Projects};
pub use port::runs::{
    Accepted, Claimed, CommitOutcome, Idempotency, NewOperation, NewRun, RunCommit, RunOutput, RunRecord, RunRequest, Runs,
    SessionTarget,
};
pub use port::secrets::{DataKeys, SealedBatch, SealedCursor, Secrets};
pub use port::workers::{NewWorker, Renewal, Rescued, Supersedes, WorkerRecord, WorkerStatus, Workers};
pub use signals::Signals;
pub use vault::{KeyVersion, MasterKey, MasterKeys, Place, Vault, VaultError, WrappedKey};

/// Everything a backend offers, as one object.
#[async_trait]
pub trait Store:
    Keys
    + Projects
    + Deployments
    + AuthSessions
    + Operations
    + Runs
    + Attempts
    + Files
    + KeyValues
    + Workers
    + Leases
    + History
    + Audit
    + Inventory
    + Secrets
    + Debug
    + Send
    + Sync
{
    /// Where commits announce themselves, those of other processes included.
    fn signals(&self) -> &Signals;

    /// Asks the database whether it can answer and take writes now, and tells what its clock says.
    async fn ping(&self) -> Result<Timestamp, StoreError>;

    /// Finishes the writes that were taken, refuses further ones, and lets go of the database.
    async fn close(&self);
}
