//! Members that JSON and the clients see differently: whole numbers that arrive as floats, objects of the caller's own and
//! objects that serde would also read from a list, optional members that may not be `null`, and times.

use keywright_domain::Timestamp;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde_json::{Map, Value};

/// Beyond this a float no longer names one whole number.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// A whole number, written with or without a fraction of zero: one of the clients sends `2.0`. Refuses `1.5` and `"3"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WholeNumber(i64);

impl WholeNumber {
    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeNumberVisitor)
    }
}

struct WholeNumberVisitor;

impl Visitor<'_> for WholeNumberVisitor {
    type Value = WholeNumber;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, value: i64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<WholeNumber, E> {
        // Out of every range that a member here has, and stays so.
        Ok(WholeNumber(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<WholeNumber, E> {
        if value.fract() != 0.0 || value.abs() > MAX_EXACT_FLOAT {
            return Err(E::invalid_type(Unexpected::Float(value), &self));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 fits")]
        let whole = value as i64;
        Ok(WholeNumber(whole))
    }
}

/// An object whose members are the caller's own business. It can hold passwords, so it has no readable `Debug`.
#[derive(Clone, PartialEq, Default, Serialize)]
pub struct JsonObject(Map<String, Value>);

impl JsonObject {
    /// The object as a value.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

impl std::fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JsonObject(***)")
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JsonObjectVisitor)
    }
}

struct JsonObjectVisitor;

impl<'de> Visitor<'de> for JsonObjectVisitor {
    type Value = JsonObject;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
        let mut members = Map::new();
        while let Some((key, value)) = map.next_entry()? {
            members.insert(key, value);
        }
        Ok(JsonObject(members))
    }
}

/// Reads an optional member that is not nullable: absent is fine (by `serde(default)`), `null` is a wrong type.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads an optional member that is an object and not nullable.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(ObjectOnly(deserializer)).map(Some)
}

/// Reads an optional member that is an object, where `null` means none.
pub(crate) fn object_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|found| found.map(|Object(inner)| inner))
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(ObjectOnly(deserializer)).map(Self)
    }
}

/// What serde derives for a struct also reads a list of its members' values, in the order in which they happen to be
/// declared. Behind this, only an object is one.
struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond, with `Z`.
#[must_use]
pub fn rfc3339(moment: Timestamp) -> String {
    // Moments outside what a calendar can print do not come from a clock; the nearest printable one stands for them.
    let printable = jiff::Timestamp::from_microsecond(moment.as_micros()).unwrap_or(if moment.as_micros() < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{printable:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_may_be_written_as_floats() {
        for (text, expected) in [("2", 2), ("2.0", 2), ("-1", -1), ("1e3", 1000), ("18446744073709551615", i64::MAX)] {
            assert_eq!(serde_json::from_str::<WholeNumber>(text).unwrap().get(), expected, "{text}");
        }
        for text in ["1.5", "\"3\"", "true", "null", "1e300", "[]"] {
            assert!(serde_json::from_str::<WholeNumber>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_end_in_z_and_have_milliseconds() {
        assert_eq!(rfc3339(Timestamp::from_micros(1_700_000_000_123_999)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn an_object_does_not_print_what_it_holds() {
        let object: JsonObject = serde_json::from_str(r#"{"password":"canary"}"#).unwrap();
        assert!(!format!("{object:?}").contains("canary"));
        assert!(serde_json::from_str::<JsonObject>("[]").is_err());
    }
}
