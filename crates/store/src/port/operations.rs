//! Operations: the handles under which a caller polls a create, update or validate. Their state is that of their run.

use async_trait::async_trait;
use keywright_domain::{AuthSessionId, OperationId, ProjectId, RunId, RunKind, RunState};

use crate::StoreError;

/// An operation and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its handle.
    pub id: OperationId,
    /// Create, update or validate.
    pub kind: RunKind,
    /// The session it is about.
    pub session: AuthSessionId,
    /// The run that performs it.
    pub run: RunId,
    /// Where that run stands.
    pub state: RunState,
}

/// Reading operations. They are accepted together with their run (see [`crate::Runs`]).
#[async_trait]
pub trait Operations {
    /// The operation of this handle in this project.
    async fn find_operation(&self, project: &ProjectId, id: &OperationId) -> Result<Option<Operation>, StoreError>;
}
