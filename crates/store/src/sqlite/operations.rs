//! Operations as rows: a handle and the run behind it, read in one statement so that the two never disagree.

use async_trait::async_trait;
use keywright_domain::{OperationId, ProjectId};
use sqlx::SqlitePool;

use super::SqliteStore;
use crate::halt::{Halt, InMethod as _};
use crate::row::operations::read_operation;
use crate::{Operation, Operations, StoreError};

#[async_trait]
impl Operations for SqliteStore {
    async fn find_operation(&self, project: &ProjectId, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        find(&self.readers, project, id).await.in_method("find_operation")
    }
}

async fn find(readers: &SqlitePool, project: &ProjectId, id: &OperationId) -> Result<Option<Operation>, Halt> {
    let row = sqlx::query(
        "SELECT o.id AS operation_id, o.kind, o.session_id,
                r.id, r.state, r.stage, r.used, r.lost_in_row, r.saw_user_fault, r.outcome
         FROM operations o JOIN runs r ON r.id = o.run_id WHERE o.project_id = $1 AND o.id = $2",
    )
    .bind(project.as_str())
    .bind(id.as_str())
    .fetch_optional(readers)
    .await?;
    row.as_ref().map(|row| read_operation(row)).transpose()
}
