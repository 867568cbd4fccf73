//! Claims: which runs can go on now, who has them, and the attempts that the holder of a claim uses up.
//!
//! A claim lives as long as its worker does. When the worker is given up its runs are freed; an attempt that was open then
//! stays open in its row until the run is taken again, so that whoever takes it knows that user code may have run.
//!
//! Projects take turns: whoever waits longest is served one run and goes to the end of the line. A project that another
//! worker serves at this moment is passed over, and so is a run that somebody is just stopping; whoever got nothing because
//! of that looks again. What a claim costs grows with the projects that have something to do, not with how much they have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use keywright_domain::{AttemptNumber, DeploymentId, Epoch, RunId, Stage, WorkerId};

use crate::halt::Halt;
use crate::postgres::PostgresStore;
use crate::postgres::commit_fate::jittered;
use crate::postgres::history::append_event;
use crate::postgres::pools::Lane;
use crate::postgres::transaction::Tx;
use crate::postgres::work::is_unknown_key;
use crate::row::Fields;
use crate::row::history::NewEvent;
use crate::row::runs::read_record;
use crate::{Claimed, RunEventKind, RunRecord, StoreError, Vault};

/// How often a worker looks that got nothing because others were in its way, the first time included. They announce what they
/// did, so whoever gives up then is woken.
const MAX_LOOKS: u32 = 4;

/// The pause between two looks: about what another's claim takes.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// How often a claim looks for others in the place of runs that turned out to be damaged.
const MAX_ROUNDS: u32 = 8;

/// The labels of a live worker, and how many more runs it has room for. Nobody else takes anything for it, and nobody gives
/// it up, before this transaction ends.
const WORKER: &str = "
    SELECT w.id, w.labels, w.capacity - (SELECT count(*) FROM runs r WHERE r.owner = w.id) AS room
    FROM workers w WHERE w.id = $1 AND w.status = 'live' FOR NO KEY UPDATE";

/// The projects that have a run that can go on, a deployment to run it with, room for it, and no label that the worker lacks.
/// The projects with work are found by stepping from one to the next in the index of claimable runs; the order of the steps is
/// that index's, so that no other one is taken, which would lead through the whole line of a session that somebody has.
macro_rules! projects_to_serve {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE waiting (id) AS (
                 (SELECT project_id FROM runs WHERE ended_at IS NULL AND owner IS NULL AND has_turn
                  ORDER BY project_id, seq LIMIT 1)
                 UNION ALL
                 SELECT (
                     SELECT r.project_id FROM runs r
                     WHERE r.ended_at IS NULL AND r.owner IS NULL AND r.has_turn AND r.project_id > waiting.id
                     ORDER BY r.project_id, r.seq LIMIT 1
                 ) FROM waiting WHERE waiting.id IS NOT NULL
             )
             SELECT p.id FROM projects p
             WHERE p.id IN (SELECT waiting.id FROM waiting) AND p.active_deployment IS NOT NULL
             AND p.worker_labels::jsonb <@ $1::jsonb
             AND p.max_concurrent > (SELECT count(*) FROM runs o WHERE o.project_id = p.id AND o.owner IS NOT NULL) ",
            $rest
        )
    };
}

/// Those of them that nobody else serves now, whoever has waited longest for a turn first.
const SERVE: &str = projects_to_serve!("ORDER BY p.turn, p.created_at, p.id LIMIT $2 FOR NO KEY UPDATE OF p SKIP LOCKED");

/// Whether there are any, served by somebody else or not.
const IS_ANY_WAITING: &str = projects_to_serve!("LIMIT 1");

/// The oldest runs that can go on of projects that are locked, as many of each as it has room for, in the order of the
/// projects. A run that waits behind another in the line for its session cannot.
const CANDIDATES: &str = "
    SELECT p.id, c.seq FROM unnest($1::text[]) WITH ORDINALITY AS served (id, place)
    JOIN projects p ON p.id = served.id
    CROSS JOIN LATERAL (
        SELECT r.seq FROM runs r
        WHERE r.project_id = p.id AND r.ended_at IS NULL AND r.owner IS NULL AND r.has_turn AND r.seq <> ALL ($2::bigint[])
        ORDER BY r.seq
        LIMIT greatest(0, least($3, p.max_concurrent - (
            SELECT count(*) FROM runs o WHERE o.project_id = p.id AND o.owner IS NOT NULL
        )))
    ) AS c
    ORDER BY served.place, c.seq";

/// Whole rows of runs, but for those that somebody is just changing.
const READ: &str = "
    SELECT r.*, p.name AS project_name,
           (SELECT a.number FROM attempts a WHERE a.run_id = r.id AND a.ended_at IS NULL) AS open_attempt
    FROM runs r JOIN projects p ON p.id = r.project_id
    WHERE r.seq = ANY ($1) AND r.ended_at IS NULL AND r.owner IS NULL AND r.has_turn
    FOR NO KEY UPDATE OF r SKIP LOCKED";

/// Takes runs that are locked, with their events.
const TAKE: &str = "
    WITH taken AS (
        UPDATE runs r
        SET owner = $2, claimed_at = $3, epoch = r.epoch + 1, started_at = coalesce(r.started_at, $3),
            deployment_id = coalesce(r.deployment_id, p.active_deployment), events = r.events + 1
        FROM projects p WHERE p.id = r.project_id AND r.seq = ANY ($1)
        RETURNING r.seq, r.id, r.events, r.epoch, r.deployment_id
    ), told AS (
        INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id) SELECT id, events, $3, $4, epoch, $2 FROM taken
    )
    SELECT seq, id, epoch, deployment_id FROM taken";

/// The sequence numbers of runs whose rows turned out to be damaged in this life of the process. They are left as they are,
/// for a person to look at, and do not keep the others from going on.
pub(in crate::postgres) type SetAside = Arc<Mutex<BTreeSet<i64>>>;

/// What one look came to.
enum Look {
    Runs(Vec<RunRecord>),
    WorkerGone,
    /// There is something to do, but others are at it.
    InOthersWay,
}

/// Takes up to `limit` runs, no more than the worker has room for.
pub(super) async fn claim_runs(store: &PostgresStore, worker: &WorkerId, limit: u32) -> Result<Claimed, StoreError> {
    for looks_left in (0..MAX_LOOKS).rev() {
        let input = (store.desk.vault.clone(), Arc::clone(&store.desk.set_aside), worker.clone(), limit);
        match store
            .write(Lane::Engine, "claim_runs", input, |tx, (vault, set_aside, worker, limit)| {
                claim(tx, vault, set_aside, worker, *limit).boxed()
            })
            .await?
        {
            Look::Runs(runs) => return Ok(Claimed::Runs(runs)),
            Look::WorkerGone => return Ok(Claimed::WorkerGone),
            Look::InOthersWay if looks_left > 0 => tokio::time::sleep(jittered(LOOK_PAUSE)).await,
            Look::InOthersWay => {}
        }
    }
    Ok(Claimed::Runs(Vec::new()))
}

async fn claim(tx: &mut Tx, vault: &Vault, set_aside: &SetAside, worker: &WorkerId, limit: u32) -> Result<Look, Halt> {
    let Some(row) = tx.read_optional(sqlx::query(WORKER).bind(worker.as_str())).await? else { return Ok(Look::WorkerGone) };
    let fields = Fields::new(&row, "workers", "id")?;
    let (labels, room) = (fields.text("labels")?, fields.number("room")?);
    let limit = room.clamp(0, i64::from(limit));
    if limit == 0 {
        return Ok(Look::Runs(Vec::new()));
    }
    let mut served = Vec::new();
    for row in tx.read_all(sqlx::query(SERVE).bind(labels.clone()).bind(limit)).await? {
        served.push(Fields::new(&row, "projects", "id")?.text("id")?);
    }
    let mut taken = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let wanted = limit - taken.len() as i64;
        let (runs, damaged) = take(tx, vault, set_aside, worker, &served, wanted).await?;
        taken.extend(runs);
        if damaged == 0 {
            break;
        }
    }
    if taken.is_empty() {
        let waiting = tx.read_optional(sqlx::query(IS_ANY_WAITING).bind(labels)).await?;
        // A project of which all that can go on is damaged looks as if it waited; one more look costs little.
        if waiting.is_some_and(|_| set_aside.lock().expect("no thread panics while it holds this lock").is_empty()) {
            return Ok(Look::InOthersWay);
        }
    }
    Ok(Look::Runs(taken))
}

/// Takes up to `wanted` runs of projects that are locked, one of each in turn. Returns them in the order of turns, and how
/// many could not be read.
async fn take(
    tx: &mut Tx,
    vault: &Vault,
    set_aside: &SetAside,
    worker: &WorkerId,
    served: &[String],
    wanted: i64,
) -> Result<(Vec<RunRecord>, usize), Halt> {
    let passed_over: Vec<i64> = set_aside.lock().expect("no thread panics while it holds this lock").iter().copied().collect();
    let statement = sqlx::query(CANDIDATES).bind(served.to_vec()).bind(passed_over).bind(wanted);
    let mut line: VecDeque<(String, VecDeque<i64>)> = VecDeque::new();
    for row in tx.read_all(statement).await? {
        let fields = Fields::new(&row, "projects", "id")?;
        let (project, seq) = (fields.text("id")?, fields.number("seq")?);
        match line.back_mut().filter(|(last, _)| *last == project) {
            Some((_, runs)) => runs.push_back(seq),
            None => line.push_back((project, VecDeque::from([seq]))),
        }
    }
    let mut chosen = Vec::new();
    while (chosen.len() as i64) < wanted
        && let Some((project, mut runs)) = line.pop_front()
    {
        if let Some(seq) = runs.pop_front() {
            chosen.push(seq);
            line.push_back((project, runs));
        }
    }
    if chosen.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let (mut records, damaged) = read(tx, vault, set_aside, &chosen).await?;
    let readable: Vec<i64> = records.keys().copied().collect();
    let statement =
        sqlx::query(TAKE).bind(readable).bind(worker.as_str()).bind(tx.now.as_micros()).bind(RunEventKind::Claimed.as_str());
    for row in tx.change_returning(statement).await? {
        let fields = Fields::new(&row, "runs", "id")?;
        if let Some(record) = records.get_mut(&fields.number("seq")?) {
            record.epoch = fields.epoch("epoch")?;
            record.deployment = fields.parse_optional("deployment_id", DeploymentId::parse)?;
        }
    }
    let taken: Vec<_> = chosen.iter().filter_map(|seq| records.remove(seq)).collect();
    raise_turns(tx, &taken).await?;
    Ok((taken, damaged))
}

/// Reads and locks runs, and sets aside those that cannot be read; also returns how many those are.
async fn read(
    tx: &mut Tx,
    vault: &Vault,
    set_aside: &SetAside,
    chosen: &[i64],
) -> Result<(BTreeMap<i64, RunRecord>, usize), Halt> {
    let (mut records, mut damaged) = (BTreeMap::new(), 0);
    for row in tx.read_all(sqlx::query(READ).bind(chosen.to_vec())).await? {
        let seq = Fields::new(&row, "runs", "id")?.number("seq")?;
        match read_record(&row, vault) {
            Ok(record) => {
                records.insert(seq, record);
            }
            // The key may be another node's, of just now.
            Err(halt) if is_unknown_key(&halt) && !tx.knows_all_keys => return Err(halt),
            Err(Halt::Store(error @ (StoreError::Corrupt { .. } | StoreError::Vault(_)))) => {
                tracing::error!(%error, run.seq = seq, "a run cannot be read and is set aside until the next start");
                set_aside.lock().expect("no thread panics while it holds this lock").insert(seq);
                damaged += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok((records, damaged))
}

/// Sends projects to the end of the line, whoever was served last behind the others.
async fn raise_turns(tx: &mut Tx, taken: &[RunRecord]) -> Result<(), Halt> {
    if taken.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(
        "UPDATE projects p SET turn = last.place + (SELECT max(turn) FROM projects)
         FROM (SELECT id, max(place) AS place FROM unnest($1::text[]) WITH ORDINALITY AS served (id, place) GROUP BY id) AS last
         WHERE p.id = last.id",
    )
    .bind(taken.iter().map(|record| record.project.to_string()).collect::<Vec<_>>());
    tx.change(statement).await?;
    Ok(())
}

/// Frees one run, if the claim holds.
pub(super) async fn release(tx: &mut Tx, id: &RunId, epoch: Epoch) -> Result<(), Halt> {
    let Some(worker) = lock_holder(tx, id, epoch).await? else { return Ok(()) };
    tx.change(sqlx::query("UPDATE runs SET owner = NULL, claimed_at = NULL WHERE id = $1").bind(id.as_str())).await?;
    let released = NewEvent { kind: RunEventKind::Released, worker: Some(&worker), attempt: None, detail: None };
    append_event(tx, id, &released).await
}

/// Who holds the run under this epoch, until this transaction ends; nobody when the claim does not hold.
async fn lock_holder(tx: &mut Tx, id: &RunId, epoch: Epoch) -> Result<Option<WorkerId>, Halt> {
    let statement = sqlx::query("SELECT id, owner FROM runs WHERE id = $1 AND epoch = $2 FOR NO KEY UPDATE")
        .bind(id.as_str())
        .bind(epoch.get());
    let Some(row) = tx.read_optional(statement).await? else { return Ok(None) };
    Fields::new(&row, "runs", "id")?.parse_optional("owner", WorkerId::parse)
}

/// Uses up an attempt, if the claim holds.
pub(super) async fn begin_attempt(tx: &mut Tx, id: &RunId, epoch: Epoch, stage: Stage) -> Result<Option<AttemptNumber>, Halt> {
    let Some(worker) = lock_holder(tx, id, epoch).await? else { return Ok(None) };
    let statement = sqlx::query(
        "WITH run AS (
             UPDATE runs SET attempts = attempts + 1, events = events + 1 WHERE id = $1 RETURNING id, attempts, events, epoch
         ), begun AS (
             INSERT INTO attempts (run_id, number, stage, epoch, worker_id, started_at) SELECT id, attempts, $2, epoch, $3, $4 FROM run
         ), told AS (
             INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id, attempt, detail)
             SELECT id, events, $4, $5, epoch, $3, attempts, $2 FROM run
         )
         SELECT id, attempts FROM run",
    )
    .bind(id.as_str())
    .bind(stage.as_str())
    .bind(worker.as_str())
    .bind(tx.now.as_micros())
    .bind(RunEventKind::AttemptBegun.as_str());
    let row = tx.change_one(statement).await?.ok_or(Halt::Sql(sqlx::Error::RowNotFound))?;
    Fields::new(&row, "runs", "id")?.attempt_number("attempts").map(Some)
}
