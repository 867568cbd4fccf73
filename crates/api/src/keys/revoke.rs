//! `DELETE …/keys/{keyId}`: a key is worth nothing from the moment of the answer.
//!
//! A key cannot revoke itself: the key that asks stays alive, so a workspace can never be left without one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use keywright_domain::KeyId;

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{KeyPath, Segments, WorkspacePath};

/// Revoke a key
///
/// Revoking a revoked one changes nothing. A key cannot revoke itself.
#[utoipa::path(
    delete,
    path = "/{workspaceId}/keys/{keyId}",
    operation_id = "revokeKey",
    tag = "additive.keys",
    params(WorkspacePath, KeyPath),
    responses((status = 204, description = "Revoked."), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<KeyPath>,
) -> Result<StatusCode, ApiError> {
    let id = KeyId::parse(&path.key_id).map_err(|_| no_key())?;
    if id == caller.key {
        return Err(ApiError::bad_request("a key cannot revoke itself; use another one"));
    }
    match app.parts.store.revoke_key(&caller.workspace, &id).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(no_key()),
    }
}

fn no_key() -> ApiError {
    ApiError::not_found("there is no such key in this workspace")
}
