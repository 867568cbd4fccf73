//! Rows of either database into values, each column read as what it must be.
//!
//! Both schemas keep texts as text, numbers and moments as 64-bit integers, flags as what the driver takes for a `bool`, and
//! bytes as bytes, so that one reader serves both. A value that makes no sense is reported with its table, column and row,
//! and never replaced by a default: a damaged database is to be seen, not worked around.

pub(crate) mod attempts;
pub(crate) mod auth_sessions;
pub(crate) mod data_keys;
pub(crate) mod deployments;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod inventory;
pub(crate) mod keys;
pub(crate) mod operations;
pub(crate) mod projects;
pub(crate) mod runs;
pub(crate) mod workers;

use keywright_domain::{AttemptNumber, Attempts, Epoch, TimeoutSeconds, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::StoreError;
use crate::halt::Halt;

/// The four types of columns, out of a row of whichever database.
pub(crate) trait Columns: Sync {
    /// A text.
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error>;

    /// A number.
    fn number(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;

    /// A flag.
    fn flag(&self, column: &str) -> Result<Option<bool>, sqlx::Error>;

    /// Bytes.
    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, sqlx::Error>;
}

impl<R: Row + Sync> Columns for R
where
    for<'c> &'c str: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<bool>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }

    fn number(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn flag(&self, column: &str) -> Result<Option<bool>, sqlx::Error> {
        self.try_get(column)
    }

    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
        self.try_get(column)
    }
}

/// A row whose table and identity are known, for the case that it cannot be read.
pub(crate) struct Fields<'r> {
    row: &'r dyn Columns,
    table: &'static str,
    identity: String,
}

impl<'r> Fields<'r> {
    /// A row of `table` that `identity_column` identifies.
    pub(crate) fn new(row: &'r dyn Columns, table: &'static str, identity_column: &'static str) -> Result<Self, Halt> {
        let identity = row.text(identity_column)?.unwrap_or_default();
        Ok(Self { row, table, identity })
    }

    /// The report of a column that makes no sense.
    pub(crate) fn corrupt(&self, column: &str, why: impl std::fmt::Display) -> Halt {
        let what = format!("{column} of the row {}: {why}", self.identity);
        Halt::Store(StoreError::Corrupt { table: self.table, what })
    }

    /// A text.
    pub(crate) fn text(&self, column: &str) -> Result<String, Halt> {
        self.must(column, self.text_optional(column)?)
    }

    /// A text, or nothing.
    pub(crate) fn text_optional(&self, column: &str) -> Result<Option<String>, Halt> {
        self.decoded(column, self.row.text(column))
    }

    /// A number.
    pub(crate) fn number(&self, column: &str) -> Result<i64, Halt> {
        self.must(column, self.number_optional(column)?)
    }

    /// A number, or nothing.
    pub(crate) fn number_optional(&self, column: &str) -> Result<Option<i64>, Halt> {
        self.decoded(column, self.row.number(column))
    }

    /// A flag.
    pub(crate) fn flag(&self, column: &str) -> Result<bool, Halt> {
        self.must(column, self.decoded(column, self.row.flag(column))?)
    }

    /// Bytes, or nothing.
    pub(crate) fn bytes_optional(&self, column: &str) -> Result<Option<Vec<u8>>, Halt> {
        self.decoded(column, self.row.bytes(column))
    }

    /// Bytes.
    pub(crate) fn bytes(&self, column: &str) -> Result<Vec<u8>, Halt> {
        self.must(column, self.bytes_optional(column)?)
    }

    /// A text that has a form.
    pub(crate) fn parse<T, E: std::fmt::Display>(
        &self,
        column: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Halt> {
        read(&self.text(column)?).map_err(|error| self.corrupt(column, error))
    }

    /// A text that has a form, or nothing.
    pub(crate) fn parse_optional<T, E: std::fmt::Display>(
        &self,
        column: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Halt> {
        let text = self.text_optional(column)?;
        text.map(|text| read(&text).map_err(|error| self.corrupt(column, error))).transpose()
    }

    /// One of a closed set.
    pub(crate) fn one_of<T>(&self, column: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Halt> {
        self.parse(column, |text| read(text).ok_or("not one of the values it may have"))
    }

    /// A JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, Halt> {
        self.parse(column, |text| serde_json::from_str(text))
    }

    /// A number that cannot be negative.
    pub(crate) fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Halt> {
        T::try_from(self.number(column)?).map_err(|_| self.corrupt(column, "a number out of range"))
    }

    /// A number of attempts.
    pub(crate) fn attempts(&self, column: &str) -> Result<Attempts, Halt> {
        Attempts::new(self.number(column)?).map_err(|error| self.corrupt(column, error))
    }

    /// A number of seconds for an attempt.
    pub(crate) fn timeout(&self, column: &str) -> Result<TimeoutSeconds, Halt> {
        TimeoutSeconds::new(self.number(column)?).map_err(|error| self.corrupt(column, error))
    }

    /// The number of an attempt in its run, or nothing.
    pub(crate) fn attempt_number_optional(&self, column: &str) -> Result<Option<AttemptNumber>, Halt> {
        let Some(number) = self.number_optional(column)? else { return Ok(None) };
        let number = u32::try_from(number).ok().and_then(AttemptNumber::new);
        number.map(Some).ok_or_else(|| self.corrupt(column, "no number of an attempt"))
    }

    /// The number of an attempt in its run.
    pub(crate) fn attempt_number(&self, column: &str) -> Result<AttemptNumber, Halt> {
        self.must(column, self.attempt_number_optional(column)?)
    }

    /// A fence.
    pub(crate) fn epoch(&self, column: &str) -> Result<Epoch, Halt> {
        self.number(column).map(Epoch::new)
    }

    /// A moment.
    pub(crate) fn timestamp(&self, column: &str) -> Result<Timestamp, Halt> {
        self.number(column).map(Timestamp::from_micros)
    }

    /// A moment, or nothing.
    pub(crate) fn timestamp_optional(&self, column: &str) -> Result<Option<Timestamp>, Halt> {
        Ok(self.number_optional(column)?.map(Timestamp::from_micros))
    }

    fn must<T>(&self, column: &str, value: Option<T>) -> Result<T, Halt> {
        value.ok_or_else(|| self.corrupt(column, "is missing"))
    }

    fn decoded<T>(&self, column: &str, read: Result<T, sqlx::Error>) -> Result<T, Halt> {
        read.map_err(|error| match error {
            sqlx::Error::ColumnDecode { source, .. } => self.corrupt(column, source),
            other => Halt::Sql(other),
        })
    }
}
