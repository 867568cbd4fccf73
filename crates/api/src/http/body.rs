//! Bodies: JSON read strictly and only as JSON, and raw bytes up to a limit.
//!
//! Every body has a limit in bytes and in time. A compressed body is refused rather than unpacked, so a small one cannot
//! become a large one. What a caller wrote is never repeated in a refusal, because it may be a password.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use keywright_domain::parse_strict_json;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// Largest JSON body: larger than any parameters a person writes, smaller than what hurts.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

/// How long a JSON body may take to arrive.
const MAX_JSON_TIME: Duration = Duration::from_secs(30);

/// A JSON body as the type that the operation wants, with a digest of what it says.
pub(crate) struct StrictJson<T> {
    pub(crate) value: T,
    /// SHA-256 of the document with sorted members: two bodies that say the same have the same.
    pub(crate) digest: [u8; 32],
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for StrictJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if media_type(request.headers()) != Some("application/json") {
            return Err(ApiError::UnsupportedMediaType { message: "the body must be sent as application/json" });
        }
        let bytes = read(request, MAX_JSON_BYTES, MAX_JSON_TIME).await?;
        let document = parse_strict_json(&bytes).map_err(|error| ApiError::bad_request(format!("the body {error}")))?;
        // The types would also take a list of their members' values, in whatever order those are declared.
        if !document.is_object() {
            return Err(ApiError::bad_request("the body must be an object"));
        }
        let mut hasher = Sha256::new();
        digest(&document, &mut hasher);
        let value = serde_path_to_error::deserialize(document).map_err(|error| refusal(&error))?;
        Ok(Self { value, digest: hasher.finalize().into() })
    }
}

/// The media type without its parameters, if there is exactly one.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let essence = value.split(';').next()?.trim();
    // The few media types that are read here are compared as they are normally written; case does not matter in them.
    ["application/json", "application/gzip", "application/x-gzip", "application/octet-stream"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(essence))
        .or(Some(essence))
}

/// The whole body, within a limit of bytes and of time.
pub(crate) async fn read(request: Request, limit_bytes: usize, limit_time: Duration) -> Result<Bytes, ApiError> {
    let headers = request.headers();
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(ApiError::UnsupportedMediaType { message: "a Content-Encoding is not undone here; send the body as it is" });
    }
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit_bytes as u64) {
        return Err(ApiError::PayloadTooLarge { limit_bytes });
    }
    tokio::time::timeout(limit_time, collect(request.into_body(), limit_bytes)).await.map_err(|_| ApiError::RequestTimeout)?
}

async fn collect(mut body: Body, limit_bytes: usize) -> Result<Bytes, ApiError> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("the body ended before its end"))?;
        let Some(data) = frame.data_ref() else { continue };
        if collected.len() + data.len() > limit_bytes {
            return Err(ApiError::PayloadTooLarge { limit_bytes });
        }
        collected.extend_from_slice(data);
    }
    Ok(collected.freeze())
}

/// Says which member is wrong and what it should be, without what it was.
fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let text = error.inner().to_string();
    let path = error.path().to_string();
    let path = if path == "." { None } else { Some(path) };
    let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let (path, why) = match (path, missing) {
        (None, Some(field)) => (Some(field.to_owned()), "is required".to_owned()),
        (Some(parent), Some(field)) => (Some(format!("{parent}.{field}")), "is required".to_owned()),
        (path, None) => {
            // Everything before "expected" may quote the caller; what follows it is ours.
            let wanted = text.rsplit_once(", expected ").map(|(_, wanted)| wanted);
            // The names of our types mean nothing to a caller.
            let is_type = |wanted: &str| wanted.starts_with("struct ") || wanted.contains(" enum ");
            let wanted = wanted.map(|wanted| format!("must be {}", if is_type(wanted) { "an object" } else { wanted }));
            (path, wanted.unwrap_or_else(|| "has a value that it cannot have".to_owned()))
        }
    };
    match path {
        Some(path) => ApiError::bad_member(&path, why),
        None => ApiError::bad_request(format!("the body {why}")),
    }
}

/// Feeds a document into a digest so that the order of members and white space do not count. Every value is preceded by its
/// kind and, where it has one, its length: no two different documents feed the same bytes.
fn digest(value: &Value, hasher: &mut Sha256) {
    let text = |kind: u8, text: &str, hasher: &mut Sha256| {
        hasher.update([kind]);
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    match value {
        Value::Null => hasher.update(b"z"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Number(number) => text(b'n', &number.to_string(), hasher),
        Value::String(string) => text(b's', string, hasher),
        Value::Array(items) => {
            hasher.update(b"a");
            hasher.update((items.len() as u64).to_be_bytes());
            for item in items {
                digest(item, hasher);
            }
        }
        Value::Object(members) => {
            hasher.update(b"o");
            hasher.update((members.len() as u64).to_be_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in members {
                text(b'k', key, hasher);
                digest(value, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_wire::{AuthSessionCreateRequest, RunStartRequest};
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_waited_for_only_so_long() {
        let nothing = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::new(Body::from_stream(nothing));
        let refused = read(request, MAX_JSON_BYTES, MAX_JSON_TIME).await.unwrap_err();
        assert!(matches!(refused, ApiError::RequestTimeout), "{refused}");
    }

    fn digest_of(value: &Value) -> Vec<u8> {
        let mut hasher = Sha256::new();
        digest(value, &mut hasher);
        hasher.finalize().to_vec()
    }

    #[test]
    fn bodies_that_say_the_same_have_the_same_digest() {
        assert_eq!(digest_of(&json!({"a": 1, "b": [true, null]})), digest_of(&json!({"b": [true, null], "a": 1})));
        for (left, right) in [
            (json!({"a": 1}), json!({"a": "1"})),
            (json!(["ab", "c"]), json!(["a", "bc"])),
            (json!([[1], 2]), json!([[1, 2]])),
            (json!({"a": {"b": 1}}), json!({"a": {}, "b": 1})),
        ] {
            assert_ne!(digest_of(&left), digest_of(&right), "{left} {right}");
        }
    }

    fn refused<T: DeserializeOwned>(body: Value) -> (String, Option<String>) {
        let error = serde_path_to_error::deserialize::<_, T>(body).err().expect("the body is wrong");
        match refusal(&error) {
            ApiError::BadRequest { message, path } => (message, path),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_refusal_names_the_member_and_never_what_it_held() {
        for (body, path, part) in [
            (json!({"parameters": "canary, expected nothing"}), "parameters", "must be an object"),
            (json!({"parameters": {}, "saveTrace": "canary"}), "saveTrace", "must be a boolean"),
            (json!({"parameters": {}, "createAttempts": "canary"}), "createAttempts", "must be a whole number"),
            (json!({"parameters": {}, "proxy": {"canary": 1}}), "proxy", "must be a string"),
            (json!({}), "parameters", "is required"),
        ] {
            let (message, found) = refused::<AuthSessionCreateRequest>(body);
            assert_eq!(found.as_deref(), Some(path), "{message}");
            assert!(message.contains(part) && !message.contains("canary"), "{message}");
        }
        let sink = json!({"api": "a", "parameters": {}, "sink": {"type": "canary"}});
        let (message, _) = refused::<RunStartRequest>(sink);
        assert!(message.contains("sink") && !message.contains("canary"), "{message}");
        let nested = json!({"api": "a", "parameters": {}, "retry": {"maximumAttempts": 1.5}});
        assert_eq!(refused::<RunStartRequest>(nested).1.as_deref(), Some("retry.maximumAttempts"));
        assert_eq!(refused::<RunStartRequest>(json!([])).1, None);
    }
}
