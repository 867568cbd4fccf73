//! Around every request: an id under which it can be found, the body of every refusal, and headers that keep answers from
//! being stored, guessed at or framed. An answer that could be a lie is marked, and the accept loop does not send it.
//!
//! The id is in the log, in the `x-correlation-id` header and in every error body. Also refused here is what no route should
//! see: a request line with a host in it, as one sends to a proxy.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use keywright_domain::with_causes;
use tracing::Instrument as _;

use super::error::ApiError;
use crate::app::App;

/// On an answer that must not be sent: the connection ends instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoAnswer;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Answers are data. Should a browser show one all the same, nothing in it runs.
const NOTHING_RUNS: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// The outermost layer.
pub(crate) async fn finish(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let correlation_id = uuid::Builder::from_random_bytes(app.parts.entropy.bytes()).into_uuid().to_string();
    let span = tracing::info_span!("request", correlation_id, method = %request.method());
    let has_host_in_line = request.uri().authority().is_some();
    // A request whose length only its chunks tell is the last one of its connection: whoever stands before this server may
    // have read its end differently.
    let ends_connection = request.headers().contains_key(header::TRANSFER_ENCODING);

    let response = if has_host_in_line {
        ApiError::bad_request("this is not a proxy: the request line must hold a path").into_response()
    } else {
        next.run(request).instrument(span.clone()).await
    };
    let mut response = span.in_scope(|| with_body(response, &correlation_id));

    let headers = response.headers_mut();
    if ends_connection {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_str(&correlation_id) {
        headers.insert(CORRELATION_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    set_if_absent(headers, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set_if_absent(headers, header::CONTENT_SECURITY_POLICY, NOTHING_RUNS);
    response
}

/// Gives a refusal its body, whoever made it.
fn with_body(response: Response, correlation_id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let error = match response.extensions().get::<Arc<ApiError>>() {
        Some(error) => Arc::clone(error),
        None => Arc::new(ApiError::from_status(status)),
    };
    log(&error);
    let mut answer = (error.status(), Json(error.body(correlation_id.to_owned()))).into_response();
    if matches!(*error, ApiError::Unknown(_)) {
        answer.extensions_mut().insert(NoAnswer);
    }
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    if let Some(pause) = error.retry_after() {
        // Rounded up: a caller who comes a second late is welcome, one who comes early is refused again.
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    answer
}

fn log(error: &ApiError) {
    match error {
        ApiError::Unknown(cause) => {
            tracing::error!(cause = with_causes(cause.as_ref()), "nobody knows what became of a request; its connection is cut");
        }
        ApiError::Internal(cause) => tracing::error!(cause = with_causes(cause.as_ref()), "request failed"),
        ApiError::Unavailable(cause) => tracing::warn!(cause = with_causes(cause.as_ref()), "request refused for now"),
        ApiError::BadRequest { .. }
        | ApiError::Unauthorized
        | ApiError::NotFound { .. }
        | ApiError::MethodNotAllowed
        | ApiError::RequestTimeout
        | ApiError::PayloadTooLarge { .. }
        | ApiError::UnsupportedMediaType { .. }
        | ApiError::TooManyRequests { .. }
        | ApiError::NotReady { .. } => tracing::debug!(status = error.status().as_u16(), "request refused"),
    }
}

fn set_if_absent(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}
