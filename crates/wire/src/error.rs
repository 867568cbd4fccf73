//! The body of every HTTP error. `correlationId` is camelCase here and snake_case inside a run's error; the member really is
//! spelled `retirable`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What went wrong with a request. The first three are what the clients know; the others are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// 400: the request cannot be carried out as it is.
    BadRequest,
    /// 401: no key, an unknown or revoked one, or one of another workspace.
    Unauthorized,
    /// 404: no such route or thing.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 413: the body is over its limit.
    PayloadTooLarge,
    /// 415: the body is not of a kind that is read here.
    UnsupportedMediaType,
    /// 429: too often; `Retry-After` says when.
    TooManyRequests,
    /// 500: our fault.
    InternalServerError,
    /// 503: not now; `Retry-After` says when.
    ServiceUnavailable,
}

/// Who has to act on an HTTP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCategory {
    /// The caller.
    User,
    /// The operator.
    Infrastructure,
}

/// The body of every HTTP error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What went wrong.
    pub code: ErrorCode,
    /// Who has to act.
    pub category: ErrorCategory,
    /// One sentence for a person. Never holds what the caller sent as a secret.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retirable: bool,
    /// More about it, where there is more; `path` names the wrong member of a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub details: Option<Value>,
    /// Finds the failure in the server's log; also in the `x-correlation-id` header.
    pub correlation_id: String,
}
