//! History as rows: events appended by every write that changes a run, artifacts with what they weigh, and what is removed
//! when it is not kept any longer.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{AttemptNumber, ProjectId, RetentionPolicy, RunId, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::leases::is_held;
use crate::halt::{Halt, InMethod as _};
use crate::row::Fields;
use crate::row::history::{ArtifactKind, NewEvent, TRACE_EXPIRED, read_event, read_garbage};
use crate::{Expired, GarbageBlob, Held, History, RunEventRecord, StoreError, StoredBlob};

#[async_trait]
impl History for SqliteStore {
    async fn list_run_events(
        &self,
        project: &ProjectId,
        run: &RunId,
        limit: u32,
    ) -> Result<Option<Vec<RunEventRecord>>, StoreError> {
        list_events(&self.readers, project, run, limit).await.in_method("list_run_events")
    }

    async fn expire_history(&self, under: &Held, policy: &RetentionPolicy, limit: u32) -> Result<Option<Expired>, StoreError> {
        // Adding up what every project stores takes its time, and the writer is not to wait for it.
        let full = full_projects(&self.readers, policy, limit).await.in_method("expire_history")?;
        let (under, policy) = (under.clone(), *policy);
        self.write("expire_history", move |tx, now| expire(tx, under, policy, full, limit, now).boxed()).await
    }

    async fn list_garbage(&self, limit: u32) -> Result<Vec<GarbageBlob>, StoreError> {
        list_garbage(&self.readers, limit).await.in_method("list_garbage")
    }

    async fn forget_garbage(&self, removed: &[GarbageBlob]) -> Result<(), StoreError> {
        let removed = removed.to_vec();
        self.write("forget_garbage", move |tx, _| forget_garbage(tx, removed).boxed()).await
    }
}

/// Appends an event to a run's. The run's epoch is the one it has by now.
pub(super) async fn append_event(
    tx: &mut SqliteConnection,
    run: &RunId,
    event: &NewEvent<'_>,
    now: Timestamp,
) -> Result<(), Halt> {
    let row = sqlx::query("UPDATE runs SET events = events + 1 WHERE id = $1 RETURNING id, events, epoch")
        .bind(run.as_str())
        .fetch_one(&mut *tx)
        .await?;
    let fields = Fields::new(&row, "runs", "id")?;
    sqlx::query(
        "INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id, attempt, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(run.as_str())
    .bind(fields.number("events")?)
    .bind(now.as_micros())
    .bind(event.kind.as_str())
    .bind(fields.epoch("epoch")?.get())
    .bind(event.worker.map(|worker| worker.as_str()))
    .bind(event.attempt.map(AttemptNumber::get))
    .bind(event.detail)
    .execute(tx)
    .await?;
    Ok(())
}

async fn list_events(
    readers: &SqlitePool,
    project: &ProjectId,
    run: &RunId,
    limit: u32,
) -> Result<Option<Vec<RunEventRecord>>, Halt> {
    let mut reading = readers.begin().await?;
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM runs WHERE project_id = $1 AND id = $2)")
        .bind(project.as_str())
        .bind(run.as_str())
        .fetch_one(&mut *reading)
        .await?;
    if !is_there {
        return Ok(None);
    }
    let newest = "SELECT * FROM (SELECT * FROM run_events WHERE run_id = $1 ORDER BY number DESC LIMIT $2) ORDER BY number";
    let rows = sqlx::query(newest).bind(run.as_str()).bind(limit).fetch_all(&mut *reading).await?;
    rows.iter().map(|row| read_event(row)).collect::<Result<_, _>>().map(Some)
}

/// Adds a log or trace of an attempt to what is stored for its project.
pub(super) async fn file_artifact(
    tx: &mut SqliteConnection,
    kind: ArtifactKind,
    run: &RunId,
    attempt: AttemptNumber,
    blob: &StoredBlob,
    now: Timestamp,
) -> Result<(), Halt> {
    sqlx::query(
        "INSERT INTO artifacts (workspace_id, project_id, kind, blob, size_bytes, run_id, attempt, created_at)
         SELECT workspace_id, project_id, $2, $3, $4, id, $5, $6 FROM runs WHERE id = $1",
    )
    .bind(run.as_str())
    .bind(kind.as_str())
    .bind(blob.key.as_str())
    .bind(i64::try_from(blob.size_bytes).map_err(|_| Halt::Misuse("a blob of more than 8 EiB"))?)
    .bind(attempt.get())
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    // The key of a blob follows from its attempt, so an earlier one of the same name may still wait to be removed.
    sqlx::query("DELETE FROM blob_garbage WHERE blob = $1").bind(blob.key.as_str()).execute(tx).await?;
    Ok(())
}

/// Makes an artifact's blob garbage and forgets the artifact. Whoever calls this has seen to the row that names the blob.
pub(super) async fn remove_artifact(tx: &mut SqliteConnection, blob: &str) -> Result<(), Halt> {
    sqlx::query("INSERT INTO blob_garbage (workspace_id, blob) SELECT workspace_id, blob FROM artifacts WHERE blob = $1")
        .bind(blob)
        .execute(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM artifacts WHERE blob = $1").bind(blob).execute(tx).await?;
    Ok(())
}

/// The projects that store more than their share.
async fn full_projects(readers: &SqlitePool, policy: &RetentionPolicy, limit: u32) -> Result<Vec<String>, Halt> {
    let query = "SELECT project_id FROM artifacts GROUP BY project_id HAVING sum(size_bytes) > $1 ORDER BY project_id LIMIT $2";
    let share_bytes = i64::try_from(policy.bytes_per_project).unwrap_or(i64::MAX);
    Ok(sqlx::query_scalar(query).bind(share_bytes).bind(limit).fetch_all(readers).await?)
}

async fn expire(
    tx: &mut SqliteConnection,
    under: Held,
    policy: RetentionPolicy,
    full: Vec<String>,
    limit: u32,
    now: Timestamp,
) -> Result<Option<Expired>, Halt> {
    if !is_held(tx, &under, now).await? {
        return Ok(None);
    }
    let mut expired = Expired { runs: expire_runs(tx, before(now, policy.runs_s), limit).await?, ..Expired::default() };
    for kind in ArtifactKind::ALL {
        let age_s = match kind {
            ArtifactKind::Log => policy.logs_s,
            ArtifactKind::Trace => policy.traces_s,
            ArtifactKind::File => policy.files_s,
        };
        expired.artifacts += expire_old_artifacts(tx, kind, before(now, age_s), limit).await?;
    }
    let share_bytes = i64::try_from(policy.bytes_per_project).unwrap_or(i64::MAX);
    let mut left = limit;
    for project in full {
        let removed = shrink_project(tx, &project, share_bytes, left).await?;
        expired.artifacts += u64::from(removed);
        left -= removed;
    }
    expired.workers = expire_workers(tx, before(now, policy.runs_s), limit).await?;
    Ok(Some(expired))
}

fn before(now: Timestamp, age_s: u64) -> Timestamp {
    now.plus_seconds(-i64::try_from(age_s).unwrap_or(i64::MAX))
}

/// Runs that ended before then, with all that is theirs. One whose trace is still being cleaned waits for that.
async fn expire_runs(tx: &mut SqliteConnection, ended_before: Timestamp, limit: u32) -> Result<u64, Halt> {
    let runs: Vec<String> = sqlx::query_scalar(
        "SELECT r.id FROM runs r WHERE r.ended_at < $1
         AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = r.id AND a.trace = 'pending')
         ORDER BY r.ended_at LIMIT $2",
    )
    .bind(ended_before.as_micros())
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    for run in &runs {
        for statement in [
            "INSERT INTO blob_garbage (workspace_id, blob) SELECT workspace_id, blob FROM artifacts WHERE run_id = $1",
            "DELETE FROM artifacts WHERE run_id = $1",
            "DELETE FROM idempotency_keys WHERE run_id = $1",
            "DELETE FROM operations WHERE run_id = $1",
            "DELETE FROM run_events WHERE run_id = $1",
            "DELETE FROM attempts WHERE run_id = $1",
            "DELETE FROM runs WHERE id = $1",
        ] {
            sqlx::query(statement).bind(run).execute(&mut *tx).await?;
        }
    }
    Ok(runs.len() as u64)
}

async fn expire_old_artifacts(
    tx: &mut SqliteConnection,
    kind: ArtifactKind,
    made_before: Timestamp,
    limit: u32,
) -> Result<u64, Halt> {
    let rows = sqlx::query("SELECT * FROM artifacts WHERE kind = $1 AND created_at < $2 ORDER BY created_at, seq LIMIT $3")
        .bind(kind.as_str())
        .bind(made_before.as_micros())
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
    for row in &rows {
        expire_artifact(tx, row).await?;
    }
    Ok(rows.len() as u64)
}

/// Removes the oldest artifacts of a project until what is left is no more than its share.
async fn shrink_project(tx: &mut SqliteConnection, project: &str, share_bytes: i64, limit: u32) -> Result<u32, Halt> {
    let stored_bytes: i64 = sqlx::query_scalar("SELECT coalesce(sum(size_bytes), 0) FROM artifacts WHERE project_id = $1")
        .bind(project)
        .fetch_one(&mut *tx)
        .await?;
    let rows = sqlx::query("SELECT * FROM artifacts WHERE project_id = $1 ORDER BY seq LIMIT $2")
        .bind(project)
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
    let (mut left_bytes, mut removed) = (stored_bytes, 0);
    for row in &rows {
        if left_bytes <= share_bytes {
            break;
        }
        left_bytes -= expire_artifact(tx, row).await?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes an artifact, and its name from whatever named it. Returns what it weighed, bytes.
async fn expire_artifact(tx: &mut SqliteConnection, row: &SqliteRow) -> Result<i64, Halt> {
    let fields = Fields::new(row, "artifacts", "blob")?;
    let blob = fields.text("blob")?;
    match fields.one_of("kind", ArtifactKind::from_stored)? {
        ArtifactKind::Log => {
            sqlx::query("UPDATE attempts SET log_blob = NULL WHERE run_id = $1 AND number = $2")
                .bind(fields.text("run_id")?)
                .bind(fields.number("attempt")?)
                .execute(&mut *tx)
                .await?;
        }
        ArtifactKind::Trace => {
            sqlx::query("UPDATE attempts SET trace = 'dropped', trace_note = $3 WHERE run_id = $1 AND number = $2")
                .bind(fields.text("run_id")?)
                .bind(fields.number("attempt")?)
                .bind(TRACE_EXPIRED)
                .execute(&mut *tx)
                .await?;
        }
        ArtifactKind::File => {
            sqlx::query("DELETE FROM files WHERE blob = $1").bind(&blob).execute(&mut *tx).await?;
        }
    }
    remove_artifact(tx, &blob).await?;
    fields.number("size_bytes")
}

/// Workers that ended before then. Attempts and events keep the id of who made them.
async fn expire_workers(tx: &mut SqliteConnection, ended_before: Timestamp, limit: u32) -> Result<u64, Halt> {
    let done = sqlx::query(
        "DELETE FROM workers WHERE id IN (
             SELECT w.id FROM workers w WHERE w.status <> 'live' AND w.lease_until < $1
             AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.worker_id = w.id AND a.trace = 'pending')
             ORDER BY w.lease_until LIMIT $2
         )",
    )
    .bind(ended_before.as_micros())
    .bind(limit)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

async fn list_garbage(readers: &SqlitePool, limit: u32) -> Result<Vec<GarbageBlob>, Halt> {
    let query = "SELECT workspace_id, blob FROM blob_garbage ORDER BY workspace_id, blob LIMIT $1";
    let rows = sqlx::query(query).bind(limit).fetch_all(readers).await?;
    rows.iter().map(|row| read_garbage(row)).collect()
}

async fn forget_garbage(tx: &mut SqliteConnection, removed: Vec<GarbageBlob>) -> Result<(), Halt> {
    for garbage in removed {
        sqlx::query("DELETE FROM blob_garbage WHERE workspace_id = $1 AND blob = $2")
            .bind(garbage.workspace.as_str())
            .bind(garbage.key.as_str())
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
