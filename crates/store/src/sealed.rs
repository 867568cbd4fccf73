//! Sealed columns: what may not lie in the clear is sealed for its own workspace, table, column and row on the way in, and
//! opened for the same on the way out.
//!
//! Refuses to open a value that lies anywhere but where it was put; such a row counts as damaged.

use keywright_domain::{ProxyUrl, Secret, WorkspaceId};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::halt::Halt;
use crate::row::Fields;
use crate::{Place, StoreError, Vault, VaultError};

/// One row's place, to which its columns are sealed.
#[derive(Clone, Copy)]
pub(crate) struct Seal<'a> {
    /// The vault that knows the workspace's key.
    pub(crate) vault: &'a Vault,
    /// The tenant.
    pub(crate) workspace: &'a WorkspaceId,
    /// The table.
    pub(crate) table: &'static str,
    /// What identifies the row.
    pub(crate) row: &'a str,
}

impl Seal<'_> {
    /// Seals bytes for a column.
    pub(crate) fn bytes(&self, column: &'static str, plain: &[u8]) -> Result<Vec<u8>, Halt> {
        Ok(self.vault.seal(self.place(column), plain)?)
    }

    /// Seals a JSON value for a column.
    pub(crate) fn json(&self, column: &'static str, value: &Value) -> Result<Vec<u8>, Halt> {
        let plain = Zeroizing::new(value.to_string());
        self.bytes(column, plain.as_bytes())
    }

    /// Seals a JSON value for a column, where there is one.
    pub(crate) fn json_optional(&self, column: &'static str, value: Option<&Secret<Value>>) -> Result<Option<Vec<u8>>, Halt> {
        value.map(|value| self.json(column, value.reveal())).transpose()
    }

    /// Seals a proxy's address for a column, where there is one.
    pub(crate) fn proxy(&self, column: &'static str, proxy: Option<&ProxyUrl>) -> Result<Option<Vec<u8>>, Halt> {
        proxy.map(|proxy| self.bytes(column, proxy.full().reveal().as_bytes())).transpose()
    }

    /// Opens a column.
    pub(crate) fn open(&self, column: &'static str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Halt> {
        match self.vault.open(self.place(column), sealed) {
            Ok(plain) => Ok(Zeroizing::new(plain)),
            Err(error @ VaultError::DoesNotOpen) => Err(self.corrupt(column, error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a column that holds a JSON value.
    pub(crate) fn open_json(&self, column: &'static str, sealed: &[u8]) -> Result<Secret<Value>, Halt> {
        let plain = self.open(column, sealed)?;
        // The parser's own message could quote what it read, so it is not passed on.
        serde_json::from_slice(&plain).map(Secret::new).map_err(|_| self.corrupt(column, "what it opens to is not JSON"))
    }

    /// Reads and opens a column that may hold a JSON value.
    pub(crate) fn read_json(&self, fields: &Fields<'_>, column: &'static str) -> Result<Option<Secret<Value>>, Halt> {
        let sealed = fields.bytes_optional(column)?;
        sealed.map(|sealed| self.open_json(column, &sealed)).transpose()
    }

    /// Reads and opens a column that may hold a proxy's address.
    pub(crate) fn read_proxy(&self, fields: &Fields<'_>, column: &'static str) -> Result<Option<ProxyUrl>, Halt> {
        let Some(sealed) = fields.bytes_optional(column)? else { return Ok(None) };
        let plain = self.open(column, &sealed)?;
        let proxy = std::str::from_utf8(&plain).ok().and_then(|text| ProxyUrl::parse(text).ok());
        proxy.map(Some).ok_or_else(|| self.corrupt(column, "what it opens to is not a proxy's address"))
    }

    fn place(&self, column: &'static str) -> Place<'_> {
        Place { workspace: self.workspace, table: self.table, column, row: self.row }
    }

    fn corrupt(&self, column: &str, why: impl std::fmt::Display) -> Halt {
        Halt::Store(StoreError::Corrupt { table: self.table, what: format!("{column} of the row {}: {why}", self.row) })
    }
}
