//! The persistent store of user code as rows, sealed. A key lies in the clear, because it is what is looked up.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{ProjectId, WorkspaceId};
use serde_json::Value;
use sqlx::Row as _;

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use super::transaction::Tx;
use crate::halt::Halt;
use crate::sealed::Seal;
use crate::{KeyValues, StoreError, Vault};

/// Where a value lies.
struct Cell {
    vault: Vault,
    workspace: WorkspaceId,
    project: ProjectId,
    key: String,
    /// What identifies the row. A project's id has a fixed length, so no two pairs of project and key are the same row.
    row: String,
}

impl Cell {
    const fn seal(&self) -> Seal<'_> {
        Seal { vault: &self.vault, workspace: &self.workspace, table: "key_values", row: self.row.as_str() }
    }
}

#[async_trait]
impl KeyValues for PostgresStore {
    async fn get_value(&self, workspace: &WorkspaceId, project: &ProjectId, key: &str) -> Result<Option<Value>, StoreError> {
        let cell = self.cell(workspace, project, key);
        self.read(Lane::Engine, "get_value", cell, |link, cell| get(link, cell).boxed()).await
    }

    async fn set_value(&self, workspace: &WorkspaceId, project: &ProjectId, key: &str, value: Value) -> Result<(), StoreError> {
        let input = (self.cell(workspace, project, key), value);
        self.write(Lane::Engine, "set_value", input, |tx, (cell, value)| set(tx, cell, value).boxed()).await
    }
}

impl PostgresStore {
    fn cell(&self, workspace: &WorkspaceId, project: &ProjectId, key: &str) -> Cell {
        Cell {
            vault: self.desk.vault.clone(),
            workspace: workspace.clone(),
            project: project.clone(),
            key: key.to_owned(),
            row: format!("{project}/{key}"),
        }
    }
}

async fn get(link: &mut Link, cell: &Cell) -> Result<Option<Value>, Halt> {
    let statement = sqlx::query("SELECT value_sealed FROM key_values WHERE workspace_id = $1 AND project_id = $2 AND key = $3")
        .bind(cell.workspace.as_str())
        .bind(cell.project.as_str())
        .bind(cell.key.as_str());
    let Some(row) = link.read_optional(statement).await? else { return Ok(None) };
    let sealed: Vec<u8> = row.try_get("value_sealed")?;
    Ok(Some(cell.seal().open_json("value_sealed", &sealed)?.into_inner()))
}

async fn set(tx: &mut Tx, cell: &Cell, value: &Value) -> Result<(), Halt> {
    let statement = sqlx::query(
        "INSERT INTO key_values (workspace_id, project_id, key, value_sealed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (project_id, key) DO UPDATE SET value_sealed = excluded.value_sealed",
    )
    .bind(cell.workspace.as_str())
    .bind(cell.project.as_str())
    .bind(cell.key.as_str())
    .bind(cell.seal().json("value_sealed", value)?);
    tx.change(statement).await?;
    Ok(())
}
