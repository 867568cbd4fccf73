//! Where sealed values lie, and the walk over all of them, for whichever database.
//!
//! Every sealed column stands in [`SEALED`]; a test holds the list against the schema. A walk reads in the order of the rows'
//! identities, a page at a time, so that it can go on where it stopped.

use async_trait::async_trait;
use keywright_domain::WorkspaceId;
use zeroize::Zeroizing;

use crate::halt::Halt;
use crate::vault::{HEADER_BYTES, header};
use crate::{DataKeys, Place, SealedBatch, SealedCursor, StoreError, Vault, VaultError, WrappedKey};

/// A column with sealed values, and its statements in the words that both databases understand.
pub(crate) struct SealedColumn {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    /// The values of workspace `$1` behind the row `$2` whose first bytes are less than `$3`, at most `$4`: the row as it is
    /// sealed to as `sealed_row`, the value as `sealed`.
    pub(crate) list: &'static str,
    /// Replaces the value `$3` of row `$2` of workspace `$1` by `$4`, if it still is that.
    pub(crate) swap: &'static str,
}

/// Columns of rows that one column identifies.
macro_rules! of_row {
    ($table:literal, $column:literal, $row:literal) => {
        SealedColumn {
            table: $table,
            column: $column,
            list: concat!(
                "SELECT ",
                $row,
                " AS sealed_row, ",
                $column,
                " AS sealed FROM ",
                $table,
                " WHERE workspace_id = $1 AND ",
                $row,
                " > $2 AND substr(",
                $column,
                ", 1, 5) < $3 ORDER BY ",
                $row,
                " LIMIT $4"
            ),
            swap: concat!(
                "UPDATE ",
                $table,
                " SET ",
                $column,
                " = $4 WHERE workspace_id = $1 AND ",
                $row,
                " = $2 AND ",
                $column,
                " = $3"
            ),
        }
    };
}

/// Every sealed column of the schema.
pub(crate) const SEALED: [SealedColumn; 12] = [
    of_row!("deployments", "built_sealed", "id"),
    of_row!("auth_sessions", "parameters_sealed", "key"),
    of_row!("auth_sessions", "proxy_sealed", "key"),
    of_row!("auth_sessions", "state_sealed", "key"),
    of_row!("runs", "parameters_sealed", "id"),
    of_row!("runs", "input_sealed", "id"),
    of_row!("runs", "proxy_sealed", "id"),
    of_row!("runs", "sink_sealed", "id"),
    of_row!("runs", "candidate_sealed", "id"),
    of_row!("runs", "result_sealed", "id"),
    of_row!("idempotency_keys", "fingerprint_sealed", "key"),
    // A project's id has 21 characters, so its row's text can be taken apart again.
    SealedColumn {
        table: "key_values",
        column: "value_sealed",
        list: "SELECT project_id || '/' || key AS sealed_row, value_sealed AS sealed FROM key_values
               WHERE workspace_id = $1 AND (project_id, key) > (substr($2, 1, 21), substr($2, 23)) AND substr(value_sealed, 1, 5) < $3
               ORDER BY project_id, key LIMIT $4",
        swap: "UPDATE key_values SET value_sealed = $4
               WHERE workspace_id = $1 AND project_id = substr($2, 1, 21) AND key = substr($2, 23) AND value_sealed = $3",
    },
];

/// More than any header, so that every value is less.
const EVERY_VERSION: [u8; HEADER_BYTES] = [0xff; HEADER_BYTES];

/// A sealed value where it lies.
pub(crate) struct SealedRow {
    pub(crate) row: String,
    pub(crate) sealed: Vec<u8>,
}

/// A value to be put in the place of another.
#[derive(Clone)]
pub(crate) struct Swap {
    pub(crate) row: String,
    pub(crate) old: Vec<u8>,
    pub(crate) new: Vec<u8>,
}

/// What a database has to do for a walk.
#[async_trait]
pub(crate) trait SealedRows {
    /// Carries out [`SealedColumn::list`].
    async fn list_sealed(
        &self,
        column: &'static SealedColumn,
        workspace: &WorkspaceId,
        after: &str,
        below: [u8; HEADER_BYTES],
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError>;

    /// Carries out [`SealedColumn::swap`] for all of them in one transaction.
    async fn swap_sealed(
        &self,
        column: &'static SealedColumn,
        workspace: &WorkspaceId,
        swaps: Vec<Swap>,
    ) -> Result<(), StoreError>;
}

/// One step of sealing anew.
pub(crate) async fn reseal(
    rows: &impl SealedRows,
    vault: &Vault,
    workspace: &WorkspaceId,
    from: &SealedCursor,
    limit: u32,
) -> Result<SealedBatch, StoreError> {
    let newest = vault.newest_data_key(workspace).ok_or(VaultError::UnknownWorkspace)?;
    let mut swaps = Vec::new();
    let mut batch = walk(rows, vault, workspace, from, header(newest), limit, |place, row, plain| {
        swaps.push(Swap { row: row.row, old: row.sealed, new: vault.seal(place, plain)? });
        Ok(())
    })
    .await?;
    batch.values = swaps.len() as u64;
    if let (Some(column), false) = (SEALED.get(from.column), swaps.is_empty()) {
        rows.swap_sealed(column, workspace, swaps).await?;
    }
    Ok(batch)
}

/// One step of opening everything.
pub(crate) async fn check(
    rows: &impl SealedRows,
    vault: &Vault,
    workspace: &WorkspaceId,
    from: &SealedCursor,
    limit: u32,
) -> Result<SealedBatch, StoreError> {
    let mut values = 0;
    let mut batch = walk(rows, vault, workspace, from, EVERY_VERSION, limit, |_, _, _| {
        values += 1;
        Ok(())
    })
    .await?;
    batch.values = values;
    Ok(batch)
}

/// Opens the next page of values and hands each to `take`.
async fn walk(
    rows: &impl SealedRows,
    vault: &Vault,
    workspace: &WorkspaceId,
    from: &SealedCursor,
    below: [u8; HEADER_BYTES],
    limit: u32,
    mut take: impl FnMut(Place<'_>, SealedRow, &[u8]) -> Result<(), VaultError>,
) -> Result<SealedBatch, StoreError> {
    let Some(column) = SEALED.get(from.column) else { return Ok(SealedBatch { next: None, values: 0, damaged: Vec::new() }) };
    let page = rows.list_sealed(column, workspace, &from.after, below, limit).await?;
    let last = page.last().map(|row| row.row.clone()).filter(|_| page.len() >= limit as usize);
    let mut damaged = Vec::new();
    for row in page {
        let name = row.row.clone();
        let place = Place { workspace, table: column.table, column: column.column, row: &name };
        let opened = match vault.open(place, &row.sealed) {
            // It was sealed with a key that came meanwhile.
            Err(error) if error.is_unknown_key() => {
                vault.learn(workspace).await?;
                vault.open(place, &row.sealed)
            }
            other => other,
        };
        match opened {
            Ok(plain) => take(place, row, &Zeroizing::new(plain))?,
            Err(error) => damaged.push(format!("{}.{} of {name}: {error}", column.table, column.column)),
        }
    }
    let next = match last {
        Some(after) => Some(SealedCursor { column: from.column, after }),
        None => Some(SealedCursor { column: from.column + 1, after: String::new() }).filter(|next| next.column < SEALED.len()),
    };
    Ok(SealedBatch { next, values: 0, damaged })
}

/// How workspaces stand, from all of their keys in order of workspace and version, each with whether it is settled.
pub(crate) fn standing(vault: &Vault, keys: &[(WrappedKey, bool)]) -> Result<Vec<DataKeys>, Halt> {
    let mut found: Vec<DataKeys> = Vec::new();
    for (key, is_settled) in keys {
        let is_current = vault.rewrap(key)?.is_none();
        match found.last_mut().filter(|last| last.workspace == key.workspace) {
            Some(last) => {
                last.newest = key.version;
                last.is_wrapped_by_current &= is_current;
                last.is_settled = *is_settled;
            }
            None => found.push(DataKeys {
                workspace: key.workspace.clone(),
                newest: key.version,
                is_wrapped_by_current: is_current,
                is_settled: *is_settled,
            }),
        }
    }
    Ok(found)
}

/// What a rotation writes: keys that another master key wrapped, wrapped by the current one; and new ones.
pub(crate) struct RotatedKeys {
    pub(crate) rewrapped: Vec<WrappedKey>,
    pub(crate) new: Vec<WrappedKey>,
}

/// Decides what a rotation writes.
pub(crate) fn rotated(vault: &Vault, keys: &[(WrappedKey, bool)]) -> Result<RotatedKeys, Halt> {
    let mut rewrapped = Vec::new();
    for (key, _) in keys {
        rewrapped.extend(vault.rewrap(key)?);
    }
    let settled = standing(vault, keys)?.into_iter().filter(|standing| standing.is_settled);
    let new = settled.map(|standing| vault.new_data_key(&standing.workspace, standing.newest.next())).collect();
    Ok(RotatedKeys { rewrapped, new })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sealed_column_of_the_schema_is_walked() {
        for schema in [include_str!("sqlite/migrations/0001_init.sql"), include_str!("postgres/migrations/0001_init.sql")] {
            let mut table = "";
            let mut columns = Vec::new();
            for line in schema.lines() {
                let mut words = line.split_whitespace().map(|word| word.trim_end_matches(','));
                match (words.next(), words.next(), words.next()) {
                    (Some("CREATE"), Some("TABLE"), Some(name)) => table = name,
                    (Some(column), Some("BLOB" | "BYTEA"), _) if column.ends_with("_sealed") => columns.push((table, column)),
                    _ => {}
                }
            }
            let mut walked: Vec<_> = SEALED.iter().map(|sealed| (sealed.table, sealed.column)).collect();
            columns.sort_unstable();
            walked.sort_unstable();
            assert_eq!(columns, walked);
        }
    }
}
