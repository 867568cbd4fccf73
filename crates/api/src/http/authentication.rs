//! The key of every route below a workspace. It opens exactly one workspace; to everybody else that workspace does not exist.
//!
//! The key is read from the `x-api-key` header and nowhere else. It is looked up by its SHA-256, so neither the time of the
//! look-up nor anything stored tells one key from another.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::Response;
use keywright_domain::{KeyId, WorkspaceId};
use keywright_store::ApiKey;
use thiserror::Error;

use super::error::ApiError;
use super::peer::Peer;
use crate::app::App;

/// Longest text that can be a key of ours; a longer one is not even hashed.
const MAX_KEY_CHARS: usize = 200;

/// Who is asking: the workspace whose key was shown.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) workspace: WorkspaceId,
    pub(crate) key: KeyId,
}

/// A keyed operation was mounted outside the layer that authenticates.
#[derive(Debug, Error)]
#[error("a keyed operation is reachable without a key check")]
struct NotAuthenticated;

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::internal(NotAuthenticated))
    }
}

/// Lets a request pass with a live key of the workspace that its path names.
pub(crate) async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let shown = shown_key(request.headers()).ok_or(ApiError::Unauthorized)?;
    let found = app.parts.store.find_key(&ApiKey::hash(shown)).await?;
    let asked = workspace_in(request.uri());
    match found {
        Some(key) if asked.as_ref() == Some(&key.workspace) => {
            request.extensions_mut().insert(Caller { workspace: key.workspace, key: key.id });
            Ok(next.run(request).await)
        }
        Some(_) | None => {
            let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer::NOWHERE);
            match app.wrong_keys.count(peer) {
                Ok(()) => Err(ApiError::Unauthorized),
                Err(retry_after) => {
                    Err(ApiError::TooManyRequests { message: "too many wrong API keys from this address", retry_after })
                }
            }
        }
    }
}

/// The one key in the header; two are none.
fn shown_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("x-api-key").iter();
    let key = values.next()?.to_str().ok()?;
    (values.next().is_none() && !key.is_empty() && key.len() <= MAX_KEY_CHARS).then_some(key)
}

/// The first segment below the routes of workspaces.
fn workspace_in(uri: &Uri) -> Option<WorkspaceId> {
    WorkspaceId::parse(uri.path().split('/').nth(1)?).ok()
}
