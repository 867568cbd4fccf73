//! What every part of a running engine holds, whichever life of its worker it belongs to: the outside world, the signals to
//! stop, and the tasks to wait for.

use std::sync::Arc;

use keywright_domain::{DeploymentId, LeaseTerms, RetentionPolicy, SessionKey, WorkerLabels};
use keywright_store::{Blobs, Clock, Entropy, FileLinks, Store};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::{EngineRoles, Identity};
use crate::fitness::Fitness;
use crate::gates::Gates;
use crate::local_builds::LocalBuilds;
use crate::order::Defaults;
use crate::status::Status;
use crate::traces::Traces;
use crate::{Builder, Executor};

/// Shared by all tasks of one engine.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Blobs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) builder: Arc<dyn Builder>,
    pub(crate) links: FileLinks,
    pub(crate) defaults: Defaults,
    pub(crate) roles: EngineRoles,
    pub(crate) identity: Identity,
    pub(crate) labels: WorkerLabels,
    pub(crate) terms: LeaseTerms,
    pub(crate) retention: RetentionPolicy,
    /// Places for runs.
    pub(crate) places: Arc<Semaphore>,
    /// How many there are.
    pub(crate) capacity: usize,
    /// A place has become free.
    pub(crate) freed: Notify,
    /// One attempt at a time is busy with a session, on this machine.
    pub(crate) sessions: Gates<SessionKey>,
    /// One build at a time works on a deployment's folder.
    pub(crate) folders: Gates<DeploymentId>,
    pub(crate) local_builds: LocalBuilds,
    pub(crate) fitness: Fitness,
    pub(crate) traces: Traces,
    pub(crate) status: Status,
    /// Nothing new begins.
    pub(crate) draining: CancellationToken,
    /// What is under way ends now.
    pub(crate) stopping: CancellationToken,
    /// Nothing is waited for any longer, the database included.
    pub(crate) abandoning: CancellationToken,
    /// The lives of the worker, and what watches over them.
    pub(crate) tasks: TaskTracker,
}
