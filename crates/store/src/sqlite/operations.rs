//! Operations as rows: a handle and the run behind it, read in one statement so that the two never disagree.

use async_trait::async_trait;
use keywright_domain::{AuthSessionId, OperationId, ProjectId, RunId, RunKind};
use sqlx::SqlitePool;

use super::SqliteStore;
use super::halt::{Halt, InMethod as _};
use super::row::Fields;
use super::runs::read_state;
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
    let Some(row) = row else { return Ok(None) };
    let operation = Fields::new(&row, "operations", "operation_id")?;
    let run = Fields::new(&row, "runs", "id")?;
    Ok(Some(Operation {
        id: operation.parse("operation_id", OperationId::parse)?,
        kind: operation.one_of("kind", RunKind::from_stored)?,
        session: operation.parse("session_id", AuthSessionId::parse)?,
        run: run.parse("id", RunId::parse)?,
        state: read_state(&run)?,
    }))
}
