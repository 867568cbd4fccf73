//! The port between Keywright and its databases: one trait per noun, each method one whole transaction; the blob store;
//! the vault that encrypts what must not lie in the clear; and the SQLite backend.
//!
//! A method that returns `Ok` has committed and, where it writes, has been flushed to disk. A method that returns an error
//! has changed nothing. If the process dies inside a method, the database holds either all of it or nothing of it.

mod ambient;
mod blobs;
mod error;
mod links;
mod port;
mod signals;
pub mod sqlite;
mod vault;

use std::fmt::Debug;

pub use ambient::{Clock, Entropy, SystemClock, SystemEntropy};
pub use blobs::{BlobError, BlobKey, Blobs};
pub use error::StoreError;
pub use links::FileLinks;
pub use port::attempts::{AttemptClose, AttemptOutcome, AttemptRecord, Attempts, TraceStatus};
pub use port::auth_sessions::{AuthSession, AuthSessions, SessionSecrets};
pub use port::deployments::{BuiltDeployment, Deployment, Deployments, NewDeployment};
pub use port::files::{Files, StoredFile};
pub use port::key_values::KeyValues;
pub use port::keys::{ApiKey, Bootstrap, Keys, NewKey};
pub use port::operations::{Operation, Operations};
pub use port::projects::{ActiveDeployment, Project, Projects};
pub use port::runs::{
    Accepted, CommitOutcome, Idempotency, NewOperation, NewRun, RunCommit, RunOutput, RunRecord, RunRequest, Runs, SessionTarget,
};
pub use signals::Signals;
pub use vault::{MasterKey, Place, Vault, VaultError};

/// Everything a backend offers, as one object.
pub trait Store:
    Keys + Projects + Deployments + AuthSessions + Operations + Runs + Attempts + Files + KeyValues + Debug + Send + Sync
{
    /// Where commits announce themselves.
    fn signals(&self) -> &Signals;
}
