//! What user code asks of the platform: reads the question, asks the host, and words the answer.
//!
//! Questions come from user-controlled processes: names are bounded, values are measured, files are read by descriptor from
//! below the slot's folder only. Our own failures are logged and told as "unavailable", without their cause.

use std::path::PathBuf;
use std::sync::Arc;

use keywright_domain::parse_strict_json;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::folder::SlotFolder;
use crate::host::{AttemptHost, HostError};
use crate::protocol::Call;

/// Largest file that user code may store.
pub(crate) const MAX_FILE_BYTES: u64 = 100 * 1024 * 1024;

/// Longest key of a stored value.
const MAX_KEY_BYTES: usize = 1_024;

/// Longest name and content type of a stored file.
const MAX_NAME_BYTES: usize = 255;

/// How much of what is wrong with a call's parameters is repeated; the parser quotes them, and they can fill a frame.
const MAX_QUOTED_CHARS: usize = 200;

/// Why a call was not answered, as user code reads it. Never longer than a few hundred characters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

#[derive(Deserialize)]
struct GetValue {
    key: String,
}

#[derive(Deserialize)]
struct SetValue {
    key: String,
    value: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoreFile {
    path: PathBuf,
    file_name: String,
    #[serde(default)]
    content_type: Option<String>,
}

/// Answers one call.
pub(crate) async fn answer(call: Call, host: Arc<dyn AttemptHost>, folder: Arc<SlotFolder>) -> Result<Value, Refusal> {
    match call.method.as_str() {
        "kv.get" => {
            let GetValue { key } = params(&call)?;
            bounded("a key", &key, MAX_KEY_BYTES)?;
            Ok(match host.get_value(&key).await.map_err(refused)? {
                Some(value) => json!({"found": true, "value": value}),
                None => json!({"found": false}),
            })
        }
        "kv.set" => {
            let SetValue { key, value } = params(&call)?;
            bounded("a key", &key, MAX_KEY_BYTES)?;
            let value = parse_strict_json(value.get().as_bytes()).map_err(|error| invalid(format!("the value {error}")))?;
            host.set_value(&key, value).await.map_err(refused)?;
            Ok(json!({}))
        }
        "file.store" => {
            let StoreFile { path, file_name, content_type } = params(&call)?;
            bounded("a file name", &file_name, MAX_NAME_BYTES)?;
            if file_name.contains('/') || file_name.chars().any(char::is_control) {
                return Err(invalid("a file name has no '/' and no control characters".to_owned()));
            }
            if let Some(content_type) = &content_type {
                bounded("a content type", content_type, MAX_NAME_BYTES)?;
            }
            let shown = file_name.clone();
            let read = tokio::task::spawn_blocking(move || folder.read_beneath(&path, MAX_FILE_BYTES)).await;
            let bytes = match read {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Err(invalid(format!("{shown} is over {MAX_FILE_BYTES} bytes"))),
                Ok(Err(error)) => return Err(invalid(format!("{shown} cannot be read from the attempt's own folder: {error}"))),
                Err(_) => return Err(invalid(format!("{shown} was not read to its end"))),
            };
            let link = host.store_file(&file_name, content_type.as_deref(), bytes).await.map_err(refused)?;
            Ok(json!({"id": link.id.as_str(), "readUrl": link.read_url}))
        }
        other => Err(invalid(format!("there is no method \"{}\"", other.chars().take(MAX_NAME_BYTES).collect::<String>()))),
    }
}

fn params<'c, T: Deserialize<'c>>(call: &'c Call) -> Result<T, Refusal> {
    serde_json::from_str(call.params.get()).map_err(|error| {
        let why: String = error.to_string().chars().take(MAX_QUOTED_CHARS).collect();
        invalid(format!("the parameters of {} are not right: {why}", call.method))
    })
}

fn bounded(what: &str, text: &str, max_bytes: usize) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > max_bytes {
        return Err(invalid(format!("{what} is 1 to {max_bytes} bytes long")));
    }
    Ok(())
}

const fn invalid(message: String) -> Refusal {
    Refusal { code: "invalid-call", message }
}

fn refused(error: HostError) -> Refusal {
    if let HostError::Unavailable(cause) = &error {
        tracing::warn!(cause = cause.as_ref(), "a call of user code could not be answered");
    }
    Refusal { code: error.code(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_repeat_a_frame_full_of_parameters() {
        let text = RawValue::from_string(format!("\"{}\"", "\\\"".repeat(1_000_000))).unwrap();
        let call = Call { attempt_id: "r.1".to_owned(), call_id: 1, method: "kv.get".to_owned(), params: text };
        let refusal = params::<GetValue>(&call).err().expect("a text is no object");
        assert_eq!(refusal.code, "invalid-call");
        assert!(refusal.message.len() < 1_000, "{} bytes", refusal.message.len());
    }
}
