//! Every way in which a request can be refused, and how each one looks.
//!
//! Use `bad_request` for what the caller wrote (with the member's path where there is one), `not_found` for what the caller
//! may not know of or what is not there, and `?` on store and blob errors for everything that is ours. The text of a refusal is
//! for the caller and never holds a secret, a path or SQL; the cause of an internal one goes to the log under the correlation
//! id and nowhere else. [`super::finish`] turns the error into its body, because only it knows that id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use keywright_store::{BlobError, StoreError};
use keywright_wire::{ErrorBody, ErrorCategory, ErrorCode};
use serde_json::{Value, json};
use thiserror::Error;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};

/// How long a caller should wait when the database cannot take writes.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(1);

/// A refused request.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    /// The request cannot be carried out as it is.
    #[error("{message}")]
    BadRequest {
        /// For the caller.
        message: String,
        /// The wrong member of the body.
        path: Option<String>,
    },
    /// No key that opens this workspace. One text for every reason, so that none can be told from another.
    #[error("the API key is missing or unknown, or does not belong to this workspace")]
    Unauthorized,
    /// Nothing there.
    #[error("{message}")]
    NotFound {
        /// For the caller.
        message: String,
        /// Whether it may be there later.
        may_come: bool,
    },
    /// The path exists, the method does not.
    #[error("this route does not know that method")]
    MethodNotAllowed,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    RequestTimeout,
    /// The body is over its limit.
    #[error("the body is larger than {limit_bytes} bytes")]
    PayloadTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The body is not of a kind that is read here.
    #[error("{message}")]
    UnsupportedMediaType {
        /// For the caller.
        message: &'static str,
    },
    /// Too often.
    #[error("{message}")]
    TooManyRequests {
        /// For the caller.
        message: &'static str,
        /// When to come again.
        retry_after: Duration,
    },
    /// Not now.
    #[error("the server cannot do this now; try again")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Requests should go elsewhere for now.
    #[error("this server is not ready: {}", .reasons.join("; "))]
    NotReady {
        /// Why, for people.
        reasons: Vec<String>,
        /// What else there is to say about the server, where that was asked for.
        server: Option<Value>,
    },
    /// Nobody knows whether the request was carried out. Any answer could be a lie, so there is none: `serve` cuts the
    /// connection, which every client takes for what it is.
    #[error("whether the request was carried out is not known")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Our fault.
    #[error("something went wrong in the server; its log has more under the correlation id")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A handler panicked. What it said is not repeated: it could hold anything.
#[derive(Debug, Error)]
#[error("a handler panicked")]
struct Panicked;

/// A part of the server answered without going through [`ApiError`] and with a status that nothing here sends.
#[derive(Debug, Error)]
#[error("an unexpected status {0}")]
struct UnexpectedStatus(StatusCode);

impl ApiError {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into(), path: None }
    }

    /// A member of the body is wrong; the text completes "`member` …".
    pub(crate) fn bad_member(member: &str, why: impl std::fmt::Display) -> Self {
        Self::BadRequest { message: format!("`{member}` {why}"), path: Some(member.to_owned()) }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::NotFound { message: message.into(), may_come: false }
    }

    pub(crate) fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(cause))
    }

    /// The error for an answer that a library made, from its status alone.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::NOT_FOUND => no_route(),
            _ if status.is_client_error() => Self::bad_request("the request cannot be read"),
            _ => Self::internal(UnexpectedStatus(status)),
        }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) | Self::NotReady { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Unknown(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn code(&self) -> ErrorCode {
        match self {
            Self::BadRequest { .. } => ErrorCode::BadRequest,
            Self::Unauthorized => ErrorCode::Unauthorized,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            Self::RequestTimeout => ErrorCode::RequestTimeout,
            Self::PayloadTooLarge { .. } => ErrorCode::PayloadTooLarge,
            Self::UnsupportedMediaType { .. } => ErrorCode::UnsupportedMediaType,
            Self::TooManyRequests { .. } => ErrorCode::TooManyRequests,
            Self::Unavailable(_) | Self::NotReady { .. } => ErrorCode::ServiceUnavailable,
            Self::Internal(_) | Self::Unknown(_) => ErrorCode::InternalServerError,
        }
    }

    /// Who has to act, and whether the same request may succeed later.
    const fn blame(&self) -> (ErrorCategory, bool) {
        match self {
            Self::BadRequest { .. }
            | Self::Unauthorized
            | Self::MethodNotAllowed
            | Self::PayloadTooLarge { .. }
            | Self::UnsupportedMediaType { .. } => (ErrorCategory::User, false),
            Self::NotFound { may_come, .. } => (ErrorCategory::User, *may_come),
            Self::RequestTimeout | Self::TooManyRequests { .. } => (ErrorCategory::User, true),
            Self::Unavailable(_) | Self::NotReady { .. } | Self::Internal(_) | Self::Unknown(_) => {
                (ErrorCategory::Infrastructure, true)
            }
        }
    }

    /// How long the caller should wait, where the protocol has a header for it.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. } => Some(*retry_after),
            Self::Unavailable(_) | Self::NotReady { .. } => Some(UNAVAILABLE_PAUSE),
            Self::BadRequest { .. }
            | Self::Unauthorized
            | Self::NotFound { .. }
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::PayloadTooLarge { .. }
            | Self::UnsupportedMediaType { .. }
            | Self::Internal(_)
            | Self::Unknown(_) => None,
        }
    }

    /// The body that tells the caller.
    pub(crate) fn body(&self, correlation_id: String) -> ErrorBody {
        let (category, retirable) = self.blame();
        let details = match self {
            Self::BadRequest { path, .. } => path.as_ref().map(|path| json!({"path": path})),
            Self::PayloadTooLarge { limit_bytes } => Some(json!({"limitBytes": limit_bytes})),
            Self::NotReady { reasons, server: None } => Some(json!({"reasons": reasons})),
            Self::NotReady { reasons, server: Some(server) } => Some(json!({"reasons": reasons, "server": server})),
            Self::Unauthorized
            | Self::NotFound { .. }
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::UnsupportedMediaType { .. }
            | Self::TooManyRequests { .. }
            | Self::Unavailable(_)
            | Self::Internal(_)
            | Self::Unknown(_) => None::<Value>,
        };
        ErrorBody { code: self.code(), category, message: self.to_string(), retirable, details, correlation_id }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(Box::new(error)),
            StoreError::Unknown(_) => Self::Unknown(Box::new(error)),
            StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_) => Self::internal(error),
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Unavailable(_) | BlobError::Key(_) | BlobError::Refused(_) | BlobError::Folder(_) => {
                Self::Unavailable(Box::new(error))
            }
            BlobError::Sealed(_) | BlobError::Unfaithful | BlobError::BadKey => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Answers what no route takes.
pub(crate) async fn no_such_route() -> ApiError {
    no_route()
}

fn no_route() -> ApiError {
    ApiError::not_found("there is no such route")
}

/// Answers for a handler that panicked; the other requests go on.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal(Panicked).into_response()
}

/// The refusals of every keyed route, for the document.
pub(crate) struct Refusals;

impl utoipa::IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::response::Response>> {
        let refusal = |description: &str| {
            let content = Content::new(Some(Ref::from_schema_name("ErrorBody")));
            RefOr::T(ResponseBuilder::new().description(description).content("application/json", content).build())
        };
        BTreeMap::from([
            ("400".to_owned(), refusal("The request cannot be carried out as it is.")),
            ("401".to_owned(), refusal("No key, an unknown or revoked one, or one of another workspace.")),
            ("404".to_owned(), refusal("No such project, or no such thing in it.")),
            ("default".to_owned(), refusal("Any other refusal: 405, 408, 413, 415, 429, 500, 503.")),
        ])
    }
}
