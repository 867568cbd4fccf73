//! Operations as rows: a handle and the run behind it, read in one statement so that the two never disagree.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{OperationId, ProjectId};

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use crate::halt::Halt;
use crate::row::operations::read_operation;
use crate::{Operation, Operations, StoreError};

#[async_trait]
impl Operations for PostgresStore {
    async fn find_operation(&self, project: &ProjectId, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        let input = (project.clone(), id.clone());
        self.read(Lane::Api, "find_operation", input, |link, (project, id)| find(link, project, id).boxed()).await
    }
}

async fn find(link: &mut Link, project: &ProjectId, id: &OperationId) -> Result<Option<Operation>, Halt> {
    let statement = sqlx::query(
        "SELECT o.id AS operation_id, o.kind, o.session_id,
                r.id, r.state, r.stage, r.used, r.lost_in_row, r.saw_user_fault, r.outcome
         FROM operations o JOIN runs r ON r.id = o.run_id WHERE o.project_id = $1 AND o.id = $2",
    )
    .bind(project.as_str())
    .bind(id.as_str());
    link.read_optional(statement).await?.as_ref().map(|row| read_operation(row)).transpose()
}
