//! The audit, in one read transaction: it sees one moment, keeps no writer waiting, and ends with the log no longer than the
//! writes that were made meanwhile.

use async_trait::async_trait;
use sqlx::SqlitePool;

use super::SqliteStore;
use crate::audit::{CHECKS, Check};
use crate::halt::{Halt, InMethod as _};
use crate::{Audit, StoreError, Violation};

/// What only this database can be asked.
const FOREIGN_KEYS: Check = Check {
    invariant: "what a row names is there",
    sql: "SELECT \"table\" || ' names a row of ' || parent || ' that is not there' AS broken FROM pragma_foreign_key_check LIMIT $1",
};

#[async_trait]
impl Audit for SqliteStore {
    async fn audit(&self, limit: u32) -> Result<Vec<Violation>, StoreError> {
        audit(&self.readers, limit).await.in_method("audit")
    }
}

async fn audit(readers: &SqlitePool, limit: u32) -> Result<Vec<Violation>, Halt> {
    let mut reading = readers.begin().await?;
    let mut violations = Vec::new();
    for check in CHECKS.iter().chain([&FOREIGN_KEYS]) {
        let rows: Vec<String> = sqlx::query_scalar(check.sql).bind(limit).fetch_all(&mut *reading).await?;
        violations.extend(rows.into_iter().map(|row| Violation { invariant: check.invariant, row }));
    }
    Ok(violations)
}
