//! The audit, in one reading transaction that sees one moment and keeps nobody waiting.

use async_trait::async_trait;
use futures::FutureExt as _;
use sqlx::Row as _;

use super::PostgresStore;
use super::link::Link;
use super::pools::Lane;
use crate::audit::CHECKS;
use crate::halt::Halt;
use crate::{Audit, StoreError, Violation};

#[async_trait]
impl Audit for PostgresStore {
    async fn audit(&self, limit: u32) -> Result<Vec<Violation>, StoreError> {
        self.survey(Lane::Api, "audit", limit, |link, limit| audit(link, *limit).boxed()).await
    }
}

async fn audit(link: &mut Link, limit: u32) -> Result<Vec<Violation>, Halt> {
    let mut violations = Vec::new();
    for check in CHECKS {
        for row in link.read_all(sqlx::query(check.sql).bind(i64::from(limit))).await? {
            violations.push(Violation { invariant: check.invariant, row: row.try_get("broken")? });
        }
    }
    Ok(violations)
}
