//! `Idempotency-Key`: a caller's promise that a repeated request is the same request. The store keeps the key with the ids
//! that the first request got, in the transaction that accepted it, so the promise holds over a crash.

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::request::Parts;
use keywright_store::Idempotency;
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;

use super::error::ApiError;

const HEADER: &str = "idempotency-key";

/// Longest accepted key.
const MAX_CHARS: usize = 255;

/// The header of every route that starts something, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct IdempotencyKey {
    /// The same key and body again: the same ids, and nothing is started twice. Another body under the key: 400.
    #[param(rename = "Idempotency-Key", nullable = false, min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// What a repeated request has in common with its first, apart from the body.
pub(crate) struct Repeatable {
    key: Option<String>,
    route: Sha256,
}

impl<S: Send + Sync> FromRequestParts<S> for Repeatable {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(value.to_str().ok().filter(|key| is_key(key)).map(str::to_owned).ok_or_else(bad_key)?),
            (Some(_), Some(_)) => return Err(bad_key()),
        };
        // The route and its decoded segments, so that two spellings of one address are one.
        let mut route = Sha256::new();
        route.update(parts.method.as_str());
        if let Ok(path) = MatchedPath::from_request_parts(parts, state).await {
            route.update(path.as_str());
        }
        if let Ok(segments) = RawPathParams::from_request_parts(parts, state).await {
            for (name, value) in &segments {
                route.update(format!("\n{name}\n{}\n{value}", value.len()));
            }
        }
        Ok(Self { key, route })
    }
}

impl Repeatable {
    /// The promise, completed with the digest of the body. None was made when there is no key.
    pub(crate) fn with_body(self, body_digest: [u8; 32]) -> Option<Idempotency> {
        let key = self.key?;
        let mut hasher = self.route;
        hasher.update(body_digest);
        Some(Idempotency { key, fingerprint: hasher.finalize().into() })
    }
}

fn is_key(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn bad_key() -> ApiError {
    ApiError::bad_request(format!("the Idempotency-Key header must be one text of 1 to {MAX_CHARS} visible ASCII characters"))
}
