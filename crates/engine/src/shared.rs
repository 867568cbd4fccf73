//! What every part of a running engine holds: the outside world, the two signals to stop, and the tasks to wait for.

use std::sync::Arc;

use keywright_store::{Blobs, Clock, Entropy, FileLinks, Store};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gates::Gates;
use crate::order::Defaults;
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
    /// Places for runs.
    pub(crate) places: Arc<Semaphore>,
    /// A place has become free.
    pub(crate) freed: Notify,
    pub(crate) gates: Gates,
    pub(crate) traces: Traces,
    /// Nothing new begins.
    pub(crate) draining: CancellationToken,
    /// What is under way ends now.
    pub(crate) stopping: CancellationToken,
    /// Every task of the engine.
    pub(crate) tasks: TaskTracker,
}
