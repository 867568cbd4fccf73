//! Locks on what has no row: a session's line, an idempotency key that may not be there yet, the first start.
//!
//! They are PostgreSQL's advisory locks, each until its transaction ends, in the two-number form with a number of ours first.
//! Lines share a fixed number of locks, because the server has room for some thousands in all and a whole project's runs may
//! be stopped in one transaction; two lines that share one merely wait for each other. The server computes which, so that
//! programs of different versions agree.

use keywright_domain::{ProjectId, RunId, SessionKey, WorkspaceId};

use super::transaction::Tx;
use crate::halt::Halt;

// The first numbers below are these, one for each kind of lock: lines 19_281, idempotency keys 19_282, the first start 19_283.
// The lock of a line is the hash of its session's key, of which the lowest ten bits count: 1,024 locks.

/// Locks the line of a session.
pub(super) async fn lock_line(tx: &mut Tx, session: &SessionKey) -> Result<(), Halt> {
    let statement = sqlx::query("SELECT pg_advisory_xact_lock(19281, hashtext($1) & 1023)").bind(session.as_str());
    tx.read_all(statement).await.map(drop)
}

/// Locks the line that a run stands in, if it stands in one.
pub(super) async fn lock_line_of(tx: &mut Tx, run: &RunId) -> Result<(), Halt> {
    let statement = sqlx::query(
        "SELECT pg_advisory_xact_lock(19281, hashtext(session_key) & 1023) FROM runs WHERE id = $1 AND session_key IS NOT NULL",
    )
    .bind(run.as_str());
    tx.read_all(statement).await.map(drop)
}

/// Locks the lines of several sessions, in the order in which everybody does.
pub(super) async fn lock_lines(tx: &mut Tx, sessions: Vec<String>) -> Result<(), Halt> {
    let statement = sqlx::query(
        "SELECT pg_advisory_xact_lock(19281, line) FROM (
             SELECT DISTINCT hashtext(session) & 1023 AS line FROM unnest($1::text[]) AS session ORDER BY line OFFSET 0
         ) AS lines",
    )
    .bind(sessions);
    tx.read_all(statement).await.map(drop)
}

/// Locks the lines of all sessions that unfinished runs of a project stand in.
pub(super) async fn lock_lines_of_project(tx: &mut Tx, project: &ProjectId) -> Result<(), Halt> {
    let statement = sqlx::query(
        "SELECT pg_advisory_xact_lock(19281, line) FROM (
             SELECT DISTINCT hashtext(session_key) & 1023 AS line FROM runs
             WHERE project_id = $1 AND ended_at IS NULL AND session_key IS NOT NULL ORDER BY line OFFSET 0
         ) AS lines",
    )
    .bind(project.as_str());
    tx.read_all(statement).await.map(drop)
}

/// Locks an idempotency key of a workspace.
pub(super) async fn lock_idempotency_key(tx: &mut Tx, workspace: &WorkspaceId, key: &str) -> Result<(), Halt> {
    let statement = sqlx::query("SELECT pg_advisory_xact_lock(19282, hashtext($1 || '/' || $2))")
        .bind(workspace.as_str())
        .bind(key.to_owned());
    tx.read_all(statement).await.map(drop)
}

/// Locks the first start.
pub(super) async fn lock_first_start(tx: &mut Tx) -> Result<(), Halt> {
    tx.read_all(sqlx::query("SELECT pg_advisory_xact_lock(19283, 0)")).await.map(drop)
}
