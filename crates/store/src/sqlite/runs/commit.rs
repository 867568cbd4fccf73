//! The one commit of a transition: the run's new state with everything that must be true together with it.

use keywright_domain::{Effect, RunState, SessionKey, Timestamp};
use sqlx::SqliteConnection;

use super::session;
use crate::halt::Halt;
use crate::planted::{self, PlantedBug};
use crate::row::history::NewEvent;
use crate::row::runs::{Current, Kept, SealedKept, StateColumns, needs_session, read_current, run_seal};
use crate::sqlite::attempts;
use crate::sqlite::history::append_event;
use crate::{CommitOutcome, RunCommit, Vault};

/// Commits a worker's transition, if its claim holds.
pub(super) async fn commit(
    tx: &mut SqliteConnection,
    vault: Vault,
    commit: RunCommit,
    now: Timestamp,
) -> Result<CommitOutcome, Halt> {
    let row = sqlx::query("SELECT * FROM runs WHERE id = $1 AND (epoch = $2 OR $3) AND owner IS NOT NULL")
        .bind(commit.run.as_str())
        .bind(commit.epoch.get())
        .bind(planted::is(PlantedBug::CommitWithoutEpoch))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(CommitOutcome::Stale) };
    let run = read_current(&row)?;
    if commit.effects.iter().any(|effect| needs_session(*effect)) && !session::is_there(tx, run.session.as_ref()).await? {
        return Ok(CommitOutcome::SessionGone);
    }
    if let Some(attempt) = &commit.attempt {
        attempts::close(tx, &run.id, run.owner.as_ref(), attempt, now).await?;
    }
    let kept = Kept { candidate: commit.candidate, result: commit.result, payloads: commit.payloads };
    apply(tx, &vault, &run, &commit.state, &commit.effects, kept, now).await?;
    Ok(CommitOutcome::Committed)
}

/// Writes a transition of a run that is not terminal yet.
pub(super) async fn apply(
    tx: &mut SqliteConnection,
    vault: &Vault,
    run: &Current,
    next: &RunState,
    effects: &[Effect],
    kept: Kept,
    now: Timestamp,
) -> Result<(), Halt> {
    let kept = kept.seal(effects, run_seal(vault, &run.workspace, &run.id))?;
    for effect in effects {
        match effect {
            Effect::KeepCandidate | Effect::KeepResult => {}
            Effect::AdoptCandidate => session::adopt_candidate(tx, vault, run, now).await?,
            Effect::MarkReady => session::mark_ready(tx, run, now).await?,
            Effect::MarkExpired => session::mark_expired(tx, run, now).await?,
            Effect::MarkExpiredIfNew => session::mark_expired_if_new(tx, run, now).await?,
        }
    }
    let columns = StateColumns::of(&run.plan, next);
    write_state(tx, run, &columns, kept, now).await?;
    if planted::is(PlantedBug::AdoptUnchecked) && effects.contains(&Effect::KeepCandidate) {
        session::adopt_candidate(tx, vault, run, now).await?;
    }
    if columns.is_terminal {
        attempts::abort_open(tx, &run.id, run.owner.as_ref(), now).await?;
    }
    if let Some(moved) = NewEvent::moved(run.owner.as_ref(), &run.state, next) {
        append_event(tx, &run.id, &moved, now).await?;
    }
    if run.holds_session
        && !columns.holds_session
        && let Some(key) = &run.session
        && !planted::is(PlantedBug::TurnNotPassedOn)
    {
        pass_turn(tx, key).await?;
    }
    if columns.is_terminal {
        session::leave(tx, run, now).await?;
    }
    Ok(())
}

/// A run that holds its session no longer waits for it either. An ended run keeps nothing that is secret but what its
/// output shows.
async fn write_state(
    tx: &mut SqliteConnection,
    run: &Current,
    next: &StateColumns,
    kept: SealedKept,
    now: Timestamp,
) -> Result<(), Halt> {
    sqlx::query(
        "UPDATE runs
         SET state = $2, stage = $3, used = $4, lost_in_row = $5, saw_user_fault = $6, outcome = $7, holds_session = $8,
             has_turn = CASE WHEN $8 THEN has_turn ELSE 1 END,
             candidate_sealed = CASE WHEN $9 THEN coalesce($10, candidate_sealed) END,
             result_sealed = coalesce($11, result_sealed),
             input_sealed = CASE WHEN $12 THEN NULL ELSE input_sealed END,
             proxy_sealed = CASE WHEN $12 THEN NULL ELSE proxy_sealed END,
             owner = CASE WHEN $12 THEN NULL ELSE owner END,
             claimed_at = CASE WHEN $12 THEN NULL ELSE claimed_at END,
             ended_at = CASE WHEN $12 THEN $13 END
         WHERE id = $1",
    )
    .bind(run.id.as_str())
    .bind(next.state)
    .bind(next.stage)
    .bind(next.used)
    .bind(next.lost_in_row)
    .bind(next.saw_user_fault)
    .bind(next.outcome.as_deref())
    .bind(next.holds_session)
    .bind(next.is_candidate_kept)
    .bind(kept.candidate)
    .bind(kept.result)
    .bind(next.is_terminal)
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives the turn to whoever is first in a session's line now.
async fn pass_turn(tx: &mut SqliteConnection, key: &SessionKey) -> Result<(), Halt> {
    sqlx::query(
        "UPDATE runs SET has_turn = 1 WHERE has_turn = 0 AND seq = (
             SELECT min(seq) FROM runs WHERE session_key = $1 AND ended_at IS NULL AND holds_session = 1
         )",
    )
    .bind(key.as_str())
    .execute(tx)
    .await?;
    Ok(())
}
