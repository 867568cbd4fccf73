//! History as rows: events appended by every write that changes a run, artifacts with what they weigh, and what is removed
//! when it is not kept any longer.

use async_trait::async_trait;
use futures::FutureExt as _;
use keywright_domain::{AttemptNumber, ProjectId, RetentionPolicy, RunId, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::leases::is_held;
use super::link::Link;
use super::pools::Lane;
use super::transaction::Tx;
use crate::halt::Halt;
use crate::row::Fields;
use crate::row::history::{ArtifactKind, NewEvent, TRACE_EXPIRED, read_event, read_garbage};
use crate::{Expired, GarbageBlob, Held, History, RunEventRecord, StoreError, StoredBlob};

/// Forgets artifacts and makes their blobs garbage.
const FORGET_ARTIFACTS: &str = "
    WITH gone AS (DELETE FROM artifacts WHERE blob = ANY($1) RETURNING workspace_id, blob)
    INSERT INTO blob_garbage (workspace_id, blob) SELECT workspace_id, blob FROM gone ON CONFLICT DO NOTHING";

#[async_trait]
impl History for PostgresStore {
    async fn list_run_events(
        &self,
        project: &ProjectId,
        run: &RunId,
        limit: u32,
    ) -> Result<Option<Vec<RunEventRecord>>, StoreError> {
        let input = (project.clone(), run.clone(), limit);
        self.read(Lane::Api, "list_run_events", input, |link, (project, run, limit)| {
            list_events(link, project, run, *limit).boxed()
        })
        .await
    }

    async fn expire_history(&self, under: &Held, policy: &RetentionPolicy, limit: u32) -> Result<Option<Expired>, StoreError> {
        // Adding up what every project stores takes its time, and nobody is to wait for it.
        let full = self
            .read(Lane::Engine, "expire_history", (*policy, limit), |link, (policy, limit)| {
                full_projects(link, policy, *limit).boxed()
            })
            .await?;
        let input = (under.clone(), *policy, full, limit);
        self.write(Lane::Engine, "expire_history", input, |tx, (under, policy, full, limit)| {
            expire(tx, under, policy, full, *limit).boxed()
        })
        .await
    }

    async fn list_garbage(&self, limit: u32) -> Result<Vec<GarbageBlob>, StoreError> {
        self.read(Lane::Engine, "list_garbage", limit, |link, limit| list_garbage(link, *limit).boxed()).await
    }

    async fn forget_garbage(&self, removed: &[GarbageBlob]) -> Result<(), StoreError> {
        self.write(Lane::Engine, "forget_garbage", removed.to_vec(), |tx, removed| forget_garbage(tx, removed).boxed()).await
    }
}

/// Appends an event to a run's, whose row is locked or our own. The run's epoch is the one it has by now.
pub(super) async fn append_event(tx: &mut Tx, run: &RunId, event: &NewEvent<'_>) -> Result<(), Halt> {
    let statement = sqlx::query(
        "WITH run AS (UPDATE runs SET events = events + 1 WHERE id = $1 RETURNING id, events, epoch)
         INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id, attempt, detail)
         SELECT id, events, $2, $3, epoch, $4, $5, $6 FROM run",
    )
    .bind(run.as_str())
    .bind(tx.now.as_micros())
    .bind(event.kind.as_str())
    .bind(event.worker.map(|worker| worker.as_str()))
    .bind(event.attempt.map(|attempt| i64::from(attempt.get())))
    .bind(event.detail);
    if tx.change(statement).await? == 1 { Ok(()) } else { Err(Halt::Misuse("an event of a run that is not there")) }
}

async fn list_events(link: &mut Link, project: &ProjectId, run: &RunId, limit: u32) -> Result<Option<Vec<RunEventRecord>>, Halt> {
    // A run always has events: that of its acceptance at least.
    let statement = sqlx::query(
        "SELECT * FROM (
             SELECT e.* FROM runs r JOIN run_events e ON e.run_id = r.id
             WHERE r.project_id = $1 AND r.id = $2 ORDER BY e.number DESC LIMIT $3
         ) newest ORDER BY number",
    )
    .bind(project.as_str())
    .bind(run.as_str())
    .bind(i64::from(limit.max(1)));
    let rows = link.read_all(statement).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let newest = rows.len().saturating_sub(limit as usize);
    rows[newest..].iter().map(|row| read_event(row)).collect::<Result<_, _>>().map(Some)
}

/// Adds a log or trace of an attempt to what is stored for its project.
pub(super) async fn file_artifact(
    tx: &mut Tx,
    kind: ArtifactKind,
    run: &RunId,
    attempt: AttemptNumber,
    blob: &StoredBlob,
) -> Result<(), Halt> {
    let statement = sqlx::query(
        "INSERT INTO artifacts (workspace_id, project_id, kind, blob, size_bytes, run_id, attempt, created_at)
         SELECT workspace_id, project_id, $2, $3, $4, id, $5, $6 FROM runs WHERE id = $1",
    )
    .bind(run.as_str())
    .bind(kind.as_str())
    .bind(blob.key.as_str())
    .bind(i64::try_from(blob.size_bytes).map_err(|_| Halt::Misuse("a blob of more than 8 EiB"))?)
    .bind(i64::from(attempt.get()))
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(())
}

/// Makes an artifact's blob garbage and forgets the artifact. Whoever calls this has seen to the row that names the blob.
pub(super) async fn remove_artifact(tx: &mut Tx, blob: &str) -> Result<(), Halt> {
    tx.change(sqlx::query(FORGET_ARTIFACTS).bind(vec![blob.to_owned()])).await?;
    Ok(())
}

/// The projects that store more than their share.
async fn full_projects(link: &mut Link, policy: &RetentionPolicy, limit: u32) -> Result<Vec<String>, Halt> {
    let statement = sqlx::query(
        "SELECT project_id FROM artifacts GROUP BY project_id HAVING sum(size_bytes) > $1 ORDER BY project_id LIMIT $2",
    )
    .bind(share_bytes(policy))
    .bind(i64::from(limit));
    link.read_all(statement).await?.iter().map(|row| Ok(row.try_get("project_id")?)).collect()
}

fn share_bytes(policy: &RetentionPolicy) -> i64 {
    i64::try_from(policy.bytes_per_project).unwrap_or(i64::MAX)
}

async fn expire(
    tx: &mut Tx,
    under: &Held,
    policy: &RetentionPolicy,
    full: &[String],
    limit: u32,
) -> Result<Option<Expired>, Halt> {
    if !is_held(tx, under).await? {
        return Ok(None);
    }
    let now = tx.now;
    let workers = expire_workers(tx, before(now, policy.runs_s), limit).await?;
    let mut expired = Expired { runs: expire_runs(tx, before(now, policy.runs_s), limit).await?, artifacts: 0, workers };
    for kind in ArtifactKind::ALL {
        let age_s = match kind {
            ArtifactKind::Log => policy.logs_s,
            ArtifactKind::Trace => policy.traces_s,
            ArtifactKind::File => policy.files_s,
        };
        expired.artifacts += expire_old_artifacts(tx, kind, before(now, age_s), limit).await?;
    }
    let mut left = limit;
    for project in full {
        let removed = shrink_project(tx, project, share_bytes(policy), left).await?;
        expired.artifacts += u64::from(removed);
        left -= removed;
    }
    Ok(Some(expired))
}

fn before(now: Timestamp, age_s: u64) -> Timestamp {
    now.plus_seconds(-i64::try_from(age_s).unwrap_or(i64::MAX))
}

/// Runs that ended before then, with all that is theirs. One whose trace is still being cleaned waits for that.
async fn expire_runs(tx: &mut Tx, ended_before: Timestamp, limit: u32) -> Result<u64, Halt> {
    let statement = sqlx::query(
        "SELECT r.id FROM runs r WHERE r.ended_at < $1
         AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = r.id AND a.trace = 'pending')
         ORDER BY r.ended_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(ended_before.as_micros())
    .bind(i64::from(limit));
    let rows = tx.read_all(statement).await?;
    let runs = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<String>, _>>()?;
    if runs.is_empty() {
        return Ok(0);
    }
    for statement in [
        "WITH gone AS (DELETE FROM artifacts WHERE run_id = ANY($1) RETURNING workspace_id, blob)
         INSERT INTO blob_garbage (workspace_id, blob) SELECT workspace_id, blob FROM gone ON CONFLICT DO NOTHING",
        "DELETE FROM idempotency_keys WHERE run_id = ANY($1)",
        "DELETE FROM operations WHERE run_id = ANY($1)",
        "DELETE FROM run_events WHERE run_id = ANY($1)",
        "DELETE FROM attempts WHERE run_id = ANY($1)",
        "DELETE FROM runs WHERE id = ANY($1)",
    ] {
        tx.change(sqlx::query(statement).bind(runs.clone())).await?;
    }
    Ok(runs.len() as u64)
}

async fn expire_old_artifacts(tx: &mut Tx, kind: ArtifactKind, made_before: Timestamp, limit: u32) -> Result<u64, Halt> {
    let statement = sqlx::query(
        "SELECT * FROM artifacts WHERE kind = $1 AND created_at < $2 ORDER BY created_at, seq LIMIT $3 FOR UPDATE SKIP LOCKED",
    )
    .bind(kind.as_str())
    .bind(made_before.as_micros())
    .bind(i64::from(limit));
    let rows = tx.read_all(statement).await?;
    expire_artifacts(tx, &rows).await?;
    Ok(rows.len() as u64)
}

/// Removes the oldest artifacts of a project until what is left is no more than its share.
async fn shrink_project(tx: &mut Tx, project: &str, share_bytes: i64, limit: u32) -> Result<u32, Halt> {
    let statement =
        sqlx::query("SELECT coalesce(sum(size_bytes), 0)::bigint FROM artifacts WHERE project_id = $1").bind(project.to_owned());
    let mut left_bytes: i64 = tx.read_value(statement).await?;
    let statement = sqlx::query("SELECT * FROM artifacts WHERE project_id = $1 ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED")
        .bind(project.to_owned())
        .bind(i64::from(limit));
    let mut rows = tx.read_all(statement).await?;
    let mut removed = 0;
    for row in &rows {
        if left_bytes <= share_bytes {
            break;
        }
        left_bytes -= Fields::new(row, "artifacts", "blob")?.number("size_bytes")?;
        removed += 1;
    }
    rows.truncate(removed);
    expire_artifacts(tx, &rows).await?;
    u32::try_from(removed).map_err(|_| Halt::Misuse("more was removed than there was a limit for"))
}

/// Removes artifacts, whose rows are locked, and their names from whatever named them.
async fn expire_artifacts(tx: &mut Tx, rows: &[PgRow]) -> Result<(), Halt> {
    let (mut logs, mut traces, mut files) = (Named::default(), Named::default(), Vec::new());
    let mut blobs = Vec::with_capacity(rows.len());
    for row in rows {
        let fields = Fields::new(row, "artifacts", "blob")?;
        blobs.push(fields.text("blob")?);
        match fields.one_of("kind", ArtifactKind::from_stored)? {
            ArtifactKind::Log => logs.push(&fields)?,
            ArtifactKind::Trace => traces.push(&fields)?,
            ArtifactKind::File => files.push(fields.text("blob")?),
        }
    }
    if !logs.runs.is_empty() {
        let statement = sqlx::query(
            "UPDATE attempts SET log_blob = NULL FROM unnest($1::text[], $2::bigint[]) AS named (run, attempt)
             WHERE run_id = named.run AND number = named.attempt",
        )
        .bind(logs.runs)
        .bind(logs.attempts);
        tx.change(statement).await?;
    }
    if !traces.runs.is_empty() {
        let statement = sqlx::query(
            "UPDATE attempts SET trace = 'dropped', trace_note = $3
             FROM unnest($1::text[], $2::bigint[]) AS named (run, attempt) WHERE run_id = named.run AND number = named.attempt",
        )
        .bind(traces.runs)
        .bind(traces.attempts)
        .bind(TRACE_EXPIRED);
        tx.change(statement).await?;
    }
    if !files.is_empty() {
        tx.change(sqlx::query("DELETE FROM files WHERE blob = ANY($1)").bind(files)).await?;
    }
    if !blobs.is_empty() {
        tx.change(sqlx::query(FORGET_ARTIFACTS).bind(blobs)).await?;
    }
    Ok(())
}

/// Attempts that name blobs.
#[derive(Default)]
struct Named {
    runs: Vec<String>,
    attempts: Vec<i64>,
}

impl Named {
    fn push(&mut self, artifact: &Fields<'_>) -> Result<(), Halt> {
        self.runs.push(artifact.text("run_id")?);
        self.attempts.push(artifact.number("attempt")?);
        Ok(())
    }
}

/// Workers that ended before then. Attempts and events keep the id of who made them.
async fn expire_workers(tx: &mut Tx, ended_before: Timestamp, limit: u32) -> Result<u64, Halt> {
    let statement = sqlx::query(
        "DELETE FROM workers WHERE id IN (
             SELECT w.id FROM workers w WHERE w.status <> 'live' AND w.lease_until < $1
             AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.worker_id = w.id AND a.trace = 'pending')
             ORDER BY w.lease_until LIMIT $2 FOR UPDATE SKIP LOCKED
         )",
    )
    .bind(ended_before.as_micros())
    .bind(i64::from(limit));
    tx.change(statement).await
}

async fn list_garbage(link: &mut Link, limit: u32) -> Result<Vec<GarbageBlob>, Halt> {
    let statement =
        sqlx::query("SELECT workspace_id, blob FROM blob_garbage ORDER BY workspace_id, blob LIMIT $1").bind(i64::from(limit));
    link.read_all(statement).await?.iter().map(|row| read_garbage(row)).collect()
}

async fn forget_garbage(tx: &mut Tx, removed: &[GarbageBlob]) -> Result<(), Halt> {
    let statement = sqlx::query(
        "DELETE FROM blob_garbage USING unnest($1::text[], $2::text[]) AS gone (workspace, name)
         WHERE workspace_id = gone.workspace AND blob = gone.name",
    )
    .bind(removed.iter().map(|garbage| garbage.workspace.to_string()).collect::<Vec<_>>())
    .bind(removed.iter().map(|garbage| garbage.key.as_str().to_owned()).collect::<Vec<_>>());
    tx.change(statement).await?;
    Ok(())
}
