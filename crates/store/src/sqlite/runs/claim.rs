//! Claims: which runs can go on now, who has them, and the attempts that the holder of a claim uses up.
//!
//! A claim lives as long as its worker does. When the worker is given up its runs are freed; an attempt that was open then
//! stays open in its row until the run is taken again, so that whoever takes it knows that user code may have run.
//!
//! Projects take turns: whoever waits longest is served one run and goes to the end of the line. What a claim costs grows
//! with the projects that have something to do, not with how much they have.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use keywright_domain::{AttemptNumber, Epoch, RunId, Stage, Timestamp, WorkerId};
use sqlx::SqliteConnection;

use crate::forms::to_json;
use crate::halt::Halt;
use crate::planted::{self, PlantedBug};
use crate::row::Fields;
use crate::row::history::NewEvent;
use crate::row::runs::read_record;
use crate::sqlite::history::append_event;
use crate::{Claimed, RunEventKind, RunRecord, StoreError, Vault};

/// The labels of a live worker, and how many more runs it has room for.
const WORKER: &str = "
    SELECT w.id, w.labels, w.capacity - (SELECT count(*) FROM runs r WHERE r.owner = w.id) AS room
    FROM workers w WHERE w.id = $1 AND w.status = 'live'";

/// The projects that have a run that can go on, a deployment to run it with, room for it, and no label that the worker lacks;
/// whoever has waited longest for a turn first. The projects with work are found by stepping from one to the next in the
/// index of claimable runs. It is named, because any other index leads through the whole line of a session that somebody has.
const PROJECTS: &str = "
    WITH RECURSIVE waiting (id) AS (
        SELECT min(project_id) FROM runs INDEXED BY runs_claimable WHERE ended_at IS NULL AND owner IS NULL AND has_turn = 1
        UNION ALL
        SELECT (
            SELECT min(r.project_id) FROM runs r INDEXED BY runs_claimable
            WHERE r.ended_at IS NULL AND r.owner IS NULL AND r.has_turn = 1 AND r.project_id > waiting.id
        ) FROM waiting WHERE waiting.id IS NOT NULL
    )
    SELECT p.id, p.max_concurrent - (SELECT count(*) FROM runs o WHERE o.project_id = p.id AND o.owner IS NOT NULL) AS room
    FROM waiting JOIN projects p ON p.id = waiting.id
    WHERE p.active_deployment IS NOT NULL AND room > 0 AND (p.worker_labels = '[]' OR NOT EXISTS (
        SELECT 1 FROM json_each(p.worker_labels) wanted
        WHERE wanted.value NOT IN (SELECT carried.value FROM json_each($1) carried)
    ))
    ORDER BY p.turn, p.created_at, p.id LIMIT $2";

/// A project's oldest run that can go on: free, and not behind another in the line for its session.
const NEXT: &str = "
    SELECT r.seq FROM runs r
    WHERE r.project_id = $1 AND r.ended_at IS NULL AND r.owner IS NULL AND r.has_turn = 1
    AND r.seq NOT IN (SELECT value FROM json_each($2))
    ORDER BY r.seq LIMIT 1";

const TAKE: &str = "
    UPDATE runs
    SET owner = $2, claimed_at = $3, epoch = epoch + $4, started_at = coalesce(started_at, $3),
        deployment_id = coalesce(deployment_id, (SELECT p.active_deployment FROM projects p WHERE p.id = runs.project_id))
    WHERE seq = $1";

/// The sequence numbers of runs whose rows turned out to be damaged in this life of the process. They are left as they are,
/// for a person to look at, and do not keep the others from going on.
pub(in crate::sqlite) type SetAside = Arc<Mutex<BTreeSet<i64>>>;

/// A project that can be served.
struct Served {
    id: String,
    room: i64,
}

/// Takes up to `limit` runs, no more than the worker has room for.
pub(super) async fn claim(
    tx: &mut SqliteConnection,
    vault: Vault,
    set_aside: SetAside,
    worker: WorkerId,
    limit: u32,
    now: Timestamp,
) -> Result<Claimed, Halt> {
    let Some(row) = sqlx::query(WORKER).bind(worker.as_str()).fetch_optional(&mut *tx).await? else {
        return Ok(Claimed::WorkerGone);
    };
    let fields = Fields::new(&row, "workers", "id")?;
    let (labels, room) = (fields.text("labels")?, fields.number("room")?);
    let limit = room.min(i64::from(limit)).max(0);
    let rows = sqlx::query(PROJECTS).bind(labels).bind(limit).fetch_all(&mut *tx).await?;
    let mut line = VecDeque::with_capacity(rows.len());
    for row in &rows {
        let fields = Fields::new(row, "projects", "id")?;
        line.push_back(Served { id: fields.text("id")?, room: fields.number("room")? });
    }
    let mut taken = Vec::new();
    while (taken.len() as i64) < limit
        && let Some(mut project) = line.pop_front()
    {
        let Some(record) = take_next(tx, &vault, &set_aside, &project.id, &worker, now).await? else { continue };
        taken.push(record);
        project.room -= i64::from(!planted::is(PlantedBug::ConcurrencyIgnored));
        sqlx::query("UPDATE projects SET turn = (SELECT max(turn) FROM projects) + 1 WHERE id = $1")
            .bind(&project.id)
            .execute(&mut *tx)
            .await?;
        if project.room > 0 {
            line.push_back(project);
        }
    }
    Ok(Claimed::Runs(taken))
}

/// Takes the project's next run, if it has one that can be read.
async fn take_next(
    tx: &mut SqliteConnection,
    vault: &Vault,
    set_aside: &SetAside,
    project: &str,
    worker: &WorkerId,
    now: Timestamp,
) -> Result<Option<RunRecord>, Halt> {
    loop {
        let passed_over = to_json(&*set_aside.lock().expect("no thread panics while it holds this lock"));
        let seq: Option<i64> = sqlx::query_scalar(NEXT).bind(project).bind(passed_over).fetch_optional(&mut *tx).await?;
        let Some(seq) = seq else { return Ok(None) };
        let before = match get_record(tx, vault, seq).await {
            Ok(record) => record,
            Err(Halt::Store(error @ (StoreError::Corrupt { .. } | StoreError::Vault(_)))) => {
                tracing::error!(%error, run.seq = seq, "a run cannot be read and is set aside until the next start");
                set_aside.lock().expect("no thread panics while it holds this lock").insert(seq);
                continue;
            }
            Err(error) => return Err(error),
        };
        let raise = i64::from(!planted::is(PlantedBug::ClaimKeepsEpoch));
        sqlx::query(TAKE).bind(seq).bind(worker.as_str()).bind(now.as_micros()).bind(raise).execute(&mut *tx).await?;
        let claimed = NewEvent { kind: RunEventKind::Claimed, worker: Some(worker), attempt: None, detail: None };
        append_event(tx, &before.id, &claimed, now).await?;
        return get_record(tx, vault, seq).await.map(Some);
    }
}

/// The run with this sequence number, for the engine.
async fn get_record(tx: &mut SqliteConnection, vault: &Vault, seq: i64) -> Result<RunRecord, Halt> {
    let row = sqlx::query(
        "SELECT r.*, p.name AS project_name,
                (SELECT a.number FROM attempts a WHERE a.run_id = r.id AND a.ended_at IS NULL) AS open_attempt
         FROM runs r JOIN projects p ON p.id = r.project_id WHERE r.seq = $1",
    )
    .bind(seq)
    .fetch_one(tx)
    .await?;
    read_record(&row, vault)
}

/// Frees one run, if the claim holds.
pub(super) async fn release(tx: &mut SqliteConnection, id: RunId, epoch: Epoch, now: Timestamp) -> Result<(), Halt> {
    let Some(worker) = holder(tx, &id, epoch).await? else { return Ok(()) };
    sqlx::query("UPDATE runs SET owner = NULL, claimed_at = NULL WHERE id = $1").bind(id.as_str()).execute(&mut *tx).await?;
    let released = NewEvent { kind: RunEventKind::Released, worker: Some(&worker), attempt: None, detail: None };
    append_event(tx, &id, &released, now).await
}

/// Who holds the run under this epoch; nobody when the claim does not hold.
async fn holder(tx: &mut SqliteConnection, id: &RunId, epoch: Epoch) -> Result<Option<WorkerId>, Halt> {
    let row = sqlx::query("SELECT id, owner FROM runs WHERE id = $1 AND (epoch = $2 OR $3)")
        .bind(id.as_str())
        .bind(epoch.get())
        .bind(planted::is(PlantedBug::BeginWithoutEpoch))
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Fields::new(&row, "runs", "id")?.parse_optional("owner", WorkerId::parse)
}

/// Uses up an attempt, if the claim holds.
pub(super) async fn begin_attempt(
    tx: &mut SqliteConnection,
    id: RunId,
    epoch: Epoch,
    stage: Stage,
    now: Timestamp,
) -> Result<Option<AttemptNumber>, Halt> {
    let Some(worker) = holder(tx, &id, epoch).await? else { return Ok(None) };
    let row = sqlx::query("UPDATE runs SET attempts = attempts + 1 WHERE id = $1 RETURNING id, attempts")
        .bind(id.as_str())
        .fetch_one(&mut *tx)
        .await?;
    let number = Fields::new(&row, "runs", "id")?.attempt_number("attempts")?;
    sqlx::query("INSERT INTO attempts (run_id, number, stage, epoch, worker_id, started_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(id.as_str())
        .bind(number.get())
        .bind(stage.as_str())
        .bind(epoch.get())
        .bind(worker.as_str())
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
    let detail = Some(stage.as_str());
    let begun = NewEvent { kind: RunEventKind::AttemptBegun, worker: Some(&worker), attempt: Some(number), detail };
    append_event(tx, &id, &begun, now).await?;
    Ok(Some(number))
}
