//! The few shapes an answer has when it is not an error.

use axum::Json;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

/// 201 with a body.
pub(crate) struct Created<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

/// Bytes that a browser saves and never shows: they were made by somebody else's code.
pub(crate) struct Download {
    pub(crate) bytes: Bytes,
    pub(crate) media_type: HeaderValue,
    /// The name to save it under, as its maker wrote it.
    pub(crate) name: String,
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, self.media_type);
        headers.insert(header::CONTENT_DISPOSITION, attachment(&self.name));
        (headers, self.bytes).into_response()
    }
}

/// `attachment` with the name in a form that every browser reads, and in the exact one (RFC 6266, RFC 8187).
fn attachment(name: &str) -> HeaderValue {
    const MAX_CHARS: usize = 200;

    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_. ()".contains(c) { c } else { '_' };
    let readable: String = name.chars().take(MAX_CHARS).map(plain).collect();
    let exact: String = name
        .chars()
        .take(MAX_CHARS)
        .collect::<String>()
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{readable}\"; filename*=UTF-8''{exact}"))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(attachment("a b.pdf"), "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf");
        assert_eq!(attachment("x\"\r\n\u{e4}/"), "attachment; filename=\"x_____\"; filename*=UTF-8''x%22%0D%0A%C3%A4%2F");
    }
}
