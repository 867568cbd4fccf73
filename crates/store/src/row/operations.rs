//! A row of `operations` joined with its run's, so that the two never disagree.

use keywright_domain::{AuthSessionId, OperationId, RunId, RunKind};

use super::runs::read_state;
use super::{Columns, Fields};
use crate::Operation;
use crate::halt::Halt;

/// Reads an operation: its own columns with its handle as `operation_id`, and the run's `id` and state.
pub(crate) fn read_operation(row: &dyn Columns) -> Result<Operation, Halt> {
    let operation = Fields::new(row, "operations", "operation_id")?;
    let run = Fields::new(row, "runs", "id")?;
    Ok(Operation {
        id: operation.parse("operation_id", OperationId::parse)?,
        kind: operation.one_of("kind", RunKind::from_stored)?,
        session: operation.parse("session_id", AuthSessionId::parse)?,
        run: run.parse("id", RunId::parse)?,
        state: read_state(&run)?,
    })
}
