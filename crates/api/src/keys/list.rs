//! `GET …/keys`: the keys of a workspace, without the keys themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{ApiKey, ApiKeyList, rfc3339};

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::WorkspacePath;

/// List keys
///
/// Revoked ones included, oldest first.
#[utoipa::path(
    get,
    path = "/{workspaceId}/keys",
    operation_id = "listKeys",
    tag = "additive.keys",
    params(WorkspacePath),
    responses((status = 200, description = "The keys.", body = ApiKeyList), Refusals)
)]
pub(crate) async fn handle(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<ApiKeyList>, ApiError> {
    let keys = app.parts.store.list_keys(&caller.workspace).await?;
    Ok(Json(ApiKeyList { keys: keys.into_iter().map(shown).collect() }))
}

fn shown(key: keywright_store::ApiKey) -> ApiKey {
    ApiKey {
        id: key.id.to_string(),
        name: key.name,
        created_at: rfc3339(key.created_at),
        revoked_at: key.revoked_at.map(rfc3339),
    }
}
