//! JSON as a careful reader takes it: no duplicate members, no bottomless nesting, no endless documents.
//!
//! serde_json by itself keeps the last of two equal members, which lets two readers of one request disagree.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Deepest accepted nesting. Real requests stay below ten.
pub const MAX_JSON_DEPTH: usize = 100;

/// Most values, members included, in one accepted document; 100,000 is the documented cap of a job's payload.
pub const MAX_JSON_NODES: usize = 1_000_000;

/// Why a text is not accepted as JSON. The text completes "the body …".
#[derive(Debug, Error)]
pub enum StrictJsonError {
    /// Not JSON, or with duplicate members, numbers out of range or broken strings.
    #[error("is not valid JSON: {0}")]
    Syntax(String),
    /// Nested deeper than [`MAX_JSON_DEPTH`].
    #[error("is nested deeper than {MAX_JSON_DEPTH} levels")]
    Depth,
    /// More than [`MAX_JSON_NODES`] brackets and commas.
    #[error("has more than {MAX_JSON_NODES} values")]
    Size,
}

/// Reads a whole document.
///
/// # Errors
/// See [`StrictJsonError`].
pub fn parse_strict_json(bytes: &[u8]) -> Result<Value, StrictJsonError> {
    measure(bytes)?;
    serde_json::from_slice::<StrictValue>(bytes).map(|value| value.0).map_err(|error| StrictJsonError::Syntax(error.to_string()))
}

/// Counts brackets and commas outside strings before any parser may recurse into them.
pub(crate) fn measure(bytes: &[u8]) -> Result<(), StrictJsonError> {
    let (mut depth, mut nodes, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in bytes {
        if in_string {
            match (escaped, byte) {
                (true, _) => escaped = false,
                (false, b'\\') => escaped = true,
                (false, b'"') => in_string = false,
                (false, _) => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                nodes += 1;
                if depth > MAX_JSON_DEPTH {
                    return Err(StrictJsonError::Depth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
        if nodes > MAX_JSON_NODES {
            return Err(StrictJsonError::Size);
        }
    }
    Ok(())
}

/// A JSON value that refused duplicate members while it was read, in whatever format it came.
pub(crate) struct StrictValue(pub(crate) Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        StrictValue::deserialize(deserializer).map(|value| value.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(StrictValue(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate member `{}`", key.chars().take(80).collect::<String>())));
            }
            let StrictValue(value) = map.next_value()?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let deep = "[".repeat(10_000);
        let commas = format!("[{}0]", "0,".repeat(MAX_JSON_NODES + 1));
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e400}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1} x"#,
            "",
            deep.as_str(),
            commas.as_str(),
        ] {
            assert!(parse_strict_json(text.as_bytes()).is_err(), "{}", &text[..text.len().min(40)]);
        }
        assert!(parse_strict_json(b"{\"a\":\"\xff\"}").is_err());
        assert_eq!(parse_strict_json(br#"{"a":[1,{"b":null}]}"#).unwrap()["a"][1]["b"], Value::Null);
    }
}
