//! Rows into values, each column read as what it must be.
//!
//! A value that makes no sense is reported with its table, column and row, and never replaced by a default: a damaged
//! database is to be seen, not worked around.

use keywright_domain::{Attempts, TimeoutSeconds, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::halt::Halt;
use crate::StoreError;

/// A row whose table and identity are known, for the case that it cannot be read.
pub(super) struct Fields<'r> {
    row: &'r SqliteRow,
    table: &'static str,
    identity: String,
}

impl<'r> Fields<'r> {
    /// A row of `table` that `identity_column` identifies.
    pub(super) fn new(row: &'r SqliteRow, table: &'static str, identity_column: &'static str) -> Result<Self, Halt> {
        Ok(Self { row, table, identity: row.try_get(identity_column)? })
    }

    /// The report of a column that makes no sense.
    pub(super) fn corrupt(&self, column: &str, why: impl std::fmt::Display) -> Halt {
        let what = format!("{column} of the row {}: {why}", self.identity);
        Halt::Store(StoreError::Corrupt { table: self.table, what })
    }

    /// A column of the driver's own types.
    pub(super) fn get<T>(&self, column: &str) -> Result<T, Halt>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.row.try_get(column).map_err(|error| match error {
            sqlx::Error::ColumnDecode { source, .. } => self.corrupt(column, source),
            other => Halt::Sql(other),
        })
    }

    /// A text that has a form.
    pub(super) fn parse<T, E: std::fmt::Display>(
        &self,
        column: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Halt> {
        let text: String = self.get(column)?;
        read(&text).map_err(|error| self.corrupt(column, error))
    }

    /// A text that has a form, or nothing.
    pub(super) fn parse_optional<T, E: std::fmt::Display>(
        &self,
        column: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Halt> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| read(&text).map_err(|error| self.corrupt(column, error))).transpose()
    }

    /// One of a closed set.
    pub(super) fn one_of<T>(&self, column: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Halt> {
        self.parse(column, |text| read(text).ok_or("not one of the values it may have"))
    }

    /// A JSON text.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, Halt> {
        self.parse(column, |text| serde_json::from_str(text))
    }

    /// A number that cannot be negative.
    pub(super) fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Halt> {
        let number: i64 = self.get(column)?;
        T::try_from(number).map_err(|_| self.corrupt(column, "a number out of range"))
    }

    /// A number of attempts.
    pub(super) fn attempts(&self, column: &str) -> Result<Attempts, Halt> {
        Attempts::new(self.get(column)?).map_err(|error| self.corrupt(column, error))
    }

    /// A number of seconds for an attempt.
    pub(super) fn timeout(&self, column: &str) -> Result<TimeoutSeconds, Halt> {
        TimeoutSeconds::new(self.get(column)?).map_err(|error| self.corrupt(column, error))
    }

    /// A moment.
    pub(super) fn timestamp(&self, column: &str) -> Result<Timestamp, Halt> {
        self.get(column).map(Timestamp::from_micros)
    }

    /// A moment, or nothing.
    pub(super) fn timestamp_optional(&self, column: &str) -> Result<Option<Timestamp>, Halt> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }
}
