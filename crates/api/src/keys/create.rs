//! `POST …/keys`: makes a key and shows it, once. What is stored is its hash.

use std::sync::Arc;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_domain::KeyId;
use keywright_store::NewKey;
use keywright_wire::{CreatedKey, NewKeyRequest, rfc3339};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::http::answer::Created;
use crate::http::authentication::Caller;
use crate::http::body::StrictJson;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::WorkspacePath;

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Bytes of entropy in a key.
const KEY_BYTES: usize = 32;

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
    let key = format!("kw_{}", URL_SAFE_NO_PAD.encode(app.parts.entropy.bytes::<KEY_BYTES>()));
    let new = NewKey {
        id: KeyId::from_entropy(app.parts.entropy.bytes()),
        name: body.name,
        hash: Sha256::digest(key.as_bytes()).into(),
    };
    let stored = app.parts.store.create_key(&caller.workspace, new, app.parts.clock.now()).await?;
    Ok(Created(CreatedKey { id: stored.id.to_string(), name: stored.name, key, created_at: rfc3339(stored.created_at) }))
}
