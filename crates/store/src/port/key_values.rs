//! The persistent store of user code: values by key, one space per project, last writer wins, sealed at rest.

use async_trait::async_trait;
use keywright_domain::{ProjectId, WorkspaceId};
use serde_json::Value;

use crate::StoreError;

/// Values that outlive a run.
#[async_trait]
pub trait KeyValues {
    /// The value under a key.
    async fn get_value(&self, workspace: &WorkspaceId, project: &ProjectId, key: &str) -> Result<Option<Value>, StoreError>;

    /// Sets the value under a key.
    async fn set_value(&self, workspace: &WorkspaceId, project: &ProjectId, key: &str, value: Value) -> Result<(), StoreError>;
}
