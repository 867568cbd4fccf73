//! What every operation has at hand.

use std::sync::Arc;

use keywright_domain::{ProxyUrl, WorkspaceId};
use keywright_store::{Blobs, Clock, Entropy, FileLinks, Project, Store};
use tokio::sync::Semaphore;

use crate::deployments::MAX_UPLOADS_AT_ONCE;
use crate::health::Vitals;
use crate::health::pulse::Pulse;
use crate::http::error::ApiError;
use crate::http::wrong_keys::WrongKeys;

/// The parts of a server that the API works with.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Rows.
    pub store: Arc<dyn Store>,
    /// Bytes.
    pub blobs: Blobs,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids and keys.
    pub entropy: Arc<dyn Entropy>,
    /// Checks links to stored files.
    pub links: FileLinks,
    /// What `intuned://auto` stands for.
    pub default_proxy: Option<ProxyUrl>,
    /// What the rest of the process says about itself.
    pub vitals: Arc<dyn Vitals>,
}

/// The parts, and what the API itself keeps in memory. Nothing in it outlives the process or needs to.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) parts: AppState,
    pub(crate) wrong_keys: WrongKeys,
    pub(crate) uploads: Semaphore,
    pub(crate) pulse: Pulse,
}

impl App {
    pub(crate) fn new(parts: AppState) -> Arc<Self> {
        Arc::new(Self {
            parts,
            wrong_keys: WrongKeys::default(),
            uploads: Semaphore::new(MAX_UPLOADS_AT_ONCE),
            pulse: Pulse::default(),
        })
    }

    /// The project of this name. One of another workspace does not exist for the caller.
    pub(crate) async fn project(&self, workspace: &WorkspaceId, name: &str) -> Result<Project, ApiError> {
        let found = self.parts.store.find_project(workspace, name).await?;
        found.ok_or_else(|| ApiError::not_found("there is no such project in this workspace"))
    }
}
