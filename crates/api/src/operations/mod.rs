//! Operations on AuthSessions: how they are accepted and read back.

pub(crate) mod accepted;
pub(crate) mod get;

use keywright_domain::OperationId;
use keywright_store::Project;
use keywright_wire::{OperationKind, OperationResult};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::segments::no_operation;

/// An operation of this project, of this kind and, where one is named, about this session; any other does not exist there.
pub(crate) async fn result_of(
    app: &App,
    project: &Project,
    id: &OperationId,
    kind: OperationKind,
    session: Option<&str>,
) -> Result<OperationResult, ApiError> {
    let operation = app.parts.store.find_operation(&project.id, id).await?.ok_or_else(no_operation)?;
    let is_asked =
        OperationKind::of(operation.kind) == Some(kind) && session.is_none_or(|session| session == operation.session.as_str());
    if is_asked { Ok(OperationResult::new(&operation.session, &operation.run, &operation.state)) } else { Err(no_operation()) }
}
