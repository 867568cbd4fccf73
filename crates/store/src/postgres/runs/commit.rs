//! The one commit of a transition: the run's new state with everything that must be true together with it.

use keywright_domain::{Effect, RunState, SessionKey};

use super::session;
use crate::halt::Halt;
use crate::postgres::attempts;
use crate::postgres::locks::lock_line_of;
use crate::postgres::transaction::Tx;
use crate::row::history::NewEvent;
use crate::row::runs::{Current, Kept, SealedKept, StateColumns, needs_session, read_current, run_seal};
use crate::{CommitOutcome, RunCommit, Vault};

/// Commits a worker's transition, if its claim holds.
pub(super) async fn commit(tx: &mut Tx, vault: &Vault, commit: &RunCommit) -> Result<CommitOutcome, Halt> {
    lock_line_of(tx, &commit.run).await?;
    let statement = sqlx::query("SELECT * FROM runs WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL FOR NO KEY UPDATE")
        .bind(commit.run.as_str())
        .bind(commit.epoch.get());
    let Some(row) = tx.read_optional(statement).await? else { return Ok(CommitOutcome::Stale) };
    let run = read_current(&row)?;
    if commit.effects.iter().any(|effect| needs_session(*effect)) && !session::is_there(tx, run.session.as_ref()).await? {
        return Ok(CommitOutcome::SessionGone);
    }
    if let Some(attempt) = &commit.attempt {
        attempts::close(tx, &run.id, run.owner.as_ref(), attempt).await?;
    }
    let kept = Kept { candidate: commit.candidate.clone(), result: commit.result.clone(), payloads: commit.payloads.clone() };
    apply(tx, vault, &run, &commit.state, &commit.effects, kept).await?;
    Ok(CommitOutcome::Committed)
}

/// Writes a transition of a run that is not terminal yet. Its line and its row are locked.
pub(super) async fn apply(
    tx: &mut Tx,
    vault: &Vault,
    run: &Current,
    next: &RunState,
    effects: &[Effect],
    kept: Kept,
) -> Result<(), Halt> {
    let kept = kept.seal(effects, run_seal(vault, &run.workspace, &run.id))?;
    for effect in effects {
        match effect {
            Effect::KeepCandidate | Effect::KeepResult => {}
            Effect::AdoptCandidate => session::adopt_candidate(tx, vault, run).await?,
            Effect::MarkReady => session::mark_ready(tx, run).await?,
            Effect::MarkExpired => session::mark_expired(tx, run).await?,
            Effect::MarkExpiredIfNew => session::mark_expired_if_new(tx, run).await?,
        }
    }
    let columns = StateColumns::of(&run.plan, next);
    if columns.is_terminal {
        attempts::abort_open(tx, &run.id, run.owner.as_ref()).await?;
    }
    let moved = NewEvent::moved(run.owner.as_ref(), &run.state, next);
    write_state(tx, run, &columns, kept, moved.as_ref()).await?;
    if run.holds_session
        && !columns.holds_session
        && let Some(key) = &run.session
    {
        pass_turn(tx, key).await?;
    }
    if columns.is_terminal {
        session::leave(tx, run).await?;
    }
    Ok(())
}

/// Writes the columns of a state, and the event of the step to it where it is one. A run that holds its session no longer
/// waits for it either. An ended run keeps nothing that is secret but what its output shows.
async fn write_state(
    tx: &mut Tx,
    run: &Current,
    next: &StateColumns,
    kept: SealedKept,
    moved: Option<&NewEvent<'_>>,
) -> Result<(), Halt> {
    let statement = sqlx::query(
        "WITH run AS (
             UPDATE runs
             SET state = $2, stage = $3, used = $4, lost_in_row = $5, saw_user_fault = $6, outcome = $7, holds_session = $8,
                 has_turn = CASE WHEN $8 THEN has_turn ELSE TRUE END,
                 candidate_sealed = CASE WHEN $9 THEN coalesce($10, candidate_sealed) END,
                 result_sealed = coalesce($11, result_sealed),
                 input_sealed = CASE WHEN $12 THEN NULL ELSE input_sealed END,
                 proxy_sealed = CASE WHEN $12 THEN NULL ELSE proxy_sealed END,
                 owner = CASE WHEN $12 THEN NULL ELSE owner END,
                 claimed_at = CASE WHEN $12 THEN NULL ELSE claimed_at END,
                 ended_at = CASE WHEN $12 THEN $13 END,
                 events = events + CASE WHEN $14 IS NULL THEN 0 ELSE 1 END
             WHERE id = $1
             RETURNING id, events, epoch
         ), told AS (
             INSERT INTO run_events (run_id, number, at, kind, epoch, worker_id, detail)
             SELECT id, events, $13, $14, epoch, $15, $16 FROM run WHERE $14 IS NOT NULL
         )
         SELECT id FROM run",
    )
    .bind(run.id.as_str())
    .bind(next.state)
    .bind(next.stage)
    .bind(next.used)
    .bind(next.lost_in_row)
    .bind(next.saw_user_fault)
    .bind(next.outcome.clone())
    .bind(next.holds_session)
    .bind(next.is_candidate_kept)
    .bind(kept.candidate)
    .bind(kept.result)
    .bind(next.is_terminal)
    .bind(tx.now.as_micros())
    .bind(moved.map(|event| event.kind.as_str()))
    .bind(moved.and_then(|event| event.worker).map(|worker| worker.as_str()))
    .bind(moved.and_then(|event| event.detail));
    tx.change_one(statement).await?;
    Ok(())
}

/// Gives the turn to whoever is first in a session's line now. The line is locked.
async fn pass_turn(tx: &mut Tx, key: &SessionKey) -> Result<(), Halt> {
    let statement = sqlx::query(
        "UPDATE runs SET has_turn = TRUE WHERE NOT has_turn AND seq = (
             SELECT min(seq) FROM runs WHERE session_key = $1 AND ended_at IS NULL AND holds_session
         )",
    )
    .bind(key.as_str());
    tx.change(statement).await?;
    Ok(())
}
