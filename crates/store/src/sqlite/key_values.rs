//! The persistent store of user code as rows, sealed. A key lies in the clear, because it is what is looked up.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{ProjectId, WorkspaceId};
use serde_json::Value;
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use crate::halt::{Halt, InMethod as _};
use crate::sealed::Seal;
use crate::{KeyValues, StoreError, Vault};

#[async_trait]
impl KeyValues for SqliteStore {
    async fn get_value(&self, workspace: &WorkspaceId, project: &ProjectId, key: &str) -> Result<Option<Value>, StoreError> {
        self.open_sealed("get_value", || get(&self.readers, &self.vault, workspace, project, key)).await
    }

    async fn set_value(&self, workspace: &WorkspaceId, project: &ProjectId, key: &str, value: Value) -> Result<(), StoreError> {
        let sealed = seal(&self.vault, workspace, &row(project, key)).json("value_sealed", &value).in_method("set_value")?;
        let (workspace, project, key) = (workspace.clone(), project.clone(), key.to_owned());
        self.write("set_value", move |tx, _| set(tx, workspace, project, key, sealed).boxed()).await
    }
}

async fn get(
    readers: &SqlitePool,
    vault: &Vault,
    workspace: &WorkspaceId,
    project: &ProjectId,
    key: &str,
) -> Result<Option<Value>, Halt> {
    let sealed: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT value_sealed FROM key_values WHERE workspace_id = $1 AND project_id = $2 AND key = $3")
            .bind(workspace.as_str())
            .bind(project.as_str())
            .bind(key)
            .fetch_optional(readers)
            .await?;
    let Some(sealed) = sealed else { return Ok(None) };
    Ok(Some(seal(vault, workspace, &row(project, key)).open_json("value_sealed", &sealed)?.into_inner()))
}

async fn set(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    project: ProjectId,
    key: String,
    sealed: Vec<u8>,
) -> Result<(), Halt> {
    sqlx::query(
        "INSERT INTO key_values (workspace_id, project_id, key, value_sealed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (project_id, key) DO UPDATE SET value_sealed = excluded.value_sealed",
    )
    .bind(workspace.as_str())
    .bind(project.as_str())
    .bind(key)
    .bind(sealed)
    .execute(tx)
    .await?;
    Ok(())
}

/// A project's id has a fixed length, so no two pairs of project and key are the same row.
fn row(project: &ProjectId, key: &str) -> String {
    format!("{project}/{key}")
}

fn seal<'a>(vault: &'a Vault, workspace: &'a WorkspaceId, row: &'a str) -> Seal<'a> {
    Seal { vault, workspace, table: "key_values", row }
}
