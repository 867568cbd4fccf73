//! `POST …/keys`: makes a key and shows it, once. What is stored is its hash.

use std::sync::Arc;

use axum::extract::State;
use keywright_store::NewKey;
use keywright_wire::{CreatedKey, NewKeyRequest, rfc3339};

use crate::app::App;
use crate::http::answer::Created;
use crate::http::authentication::Caller;
use crate::http::body::StrictJson;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::WorkspacePath;

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Make a key
///
/// The answer is the only place where the key is ever shown.
#[utoipa::path(
    post,
    path = "/{workspaceId}/keys",
    operation_id = "createKey",
    tag = "additive.keys",
    params(WorkspacePath),
    request_body = NewKeyRequest,
    responses((status = 201, description = "The key.", body = CreatedKey), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    StrictJson { value: body, digest: _ }: StrictJson<NewKeyRequest>,
) -> Result<Created<CreatedKey>, ApiError> {
    let length = body.name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&length) || body.name.chars().any(char::is_control) {
        return Err(ApiError::bad_member(
            "name",
            format!("must be 1 to {MAX_NAME_CHARS} characters long, without control characters"),
        ));
    }
    let (new, key) = NewKey::generate(body.name, app.parts.entropy.as_ref());
    let stored = app.parts.store.create_key(&caller.workspace, new).await?;
    Ok(Created(CreatedKey {
        id: stored.id.to_string(),
        name: stored.name,
        key: key.into_inner(),
        created_at: rfc3339(stored.created_at),
    }))
}
