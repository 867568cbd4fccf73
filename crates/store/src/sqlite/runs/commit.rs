//! The one commit of a transition: the run's new state with everything that must be true together with it.

use keywright_domain::{Effect, ExtendedPayload, Progress, RunState, Secret, Stage, Timestamp};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::record::{Current, read_current, run_seal};
use super::session;
use crate::sqlite::attempts;
use crate::sqlite::forms::{PayloadForm, ResultForm, outcome_json, to_json};
use crate::sqlite::halt::Halt;
use crate::{CommitOutcome, RunCommit, Vault};

/// What a transition brings along to be kept.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) candidate: Option<Secret<Value>>,
    pub(super) result: Option<Value>,
    pub(super) payloads: Vec<ExtendedPayload>,
}

/// Commits a worker's transition, if its claim holds.
pub(super) async fn commit(tx: &mut SqliteConnection, vault: Vault, commit: RunCommit) -> Result<CommitOutcome, Halt> {
    let row = sqlx::query("SELECT * FROM runs WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL")
        .bind(commit.run.as_str())
        .bind(commit.epoch)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(CommitOutcome::Stale) };
    let run = read_current(&row)?;
    if commit.effects.iter().any(|effect| needs_session(*effect)) && !session::is_there(tx, run.session.as_ref()).await? {
        return Ok(CommitOutcome::SessionGone);
    }
    if let Some(attempt) = &commit.attempt {
        attempts::close(tx, &run.id, attempt, commit.now).await?;
    }
    let kept = Kept { candidate: commit.candidate, result: commit.result, payloads: commit.payloads };
    apply(tx, &vault, &run, &commit.state, &commit.effects, kept, commit.now).await?;
    Ok(CommitOutcome::Committed)
}

/// Whether an effect says of a session that it is good. The others only clean up and have nothing to do when it is gone.
const fn needs_session(effect: Effect) -> bool {
    match effect {
        Effect::KeepCandidate | Effect::AdoptCandidate | Effect::MarkReady => true,
        Effect::MarkExpired | Effect::MarkExpiredIfNew | Effect::KeepResult => false,
    }
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
    let seal = run_seal(vault, &run.workspace, &run.id);
    let (mut candidate, mut result) = (None, None);
    for effect in effects {
        match effect {
            Effect::KeepCandidate => {
                let Some(state) = &kept.candidate else {
                    return Err(Halt::Misuse("a candidate is to be kept, but none was brought"));
                };
                candidate = Some(seal.json("candidate_sealed", state.reveal())?);
            }
            Effect::KeepResult => {
                let Some(value) = &kept.result else { return Err(Halt::Misuse("a result is to be kept, but none was brought")) };
                let payloads = kept.payloads.iter().cloned().map(PayloadForm::from).collect();
                let form = to_json(&ResultForm { result: value.clone(), payloads });
                result = Some(seal.bytes("result_sealed", form.as_bytes())?);
            }
            Effect::AdoptCandidate => session::adopt_candidate(tx, vault, run, now).await?,
            Effect::MarkReady => session::mark_ready(tx, run, now).await?,
            Effect::MarkExpired => session::mark_expired(tx, run, now).await?,
            Effect::MarkExpiredIfNew => session::mark_expired_if_new(tx, run, now).await?,
        }
    }
    write_state(tx, run, next, candidate, result, now).await?;
    if next.is_terminal() {
        attempts::abort_open(tx, &run.id, now).await?;
        session::leave(tx, run, now).await?;
    }
    Ok(())
}

async fn write_state(
    tx: &mut SqliteConnection,
    run: &Current,
    next: &RunState,
    candidate: Option<Vec<u8>>,
    result: Option<Vec<u8>>,
    now: Timestamp,
) -> Result<(), Halt> {
    let progress = match next {
        RunState::Started(progress) => Some(progress),
        RunState::Pending | RunState::Completed | RunState::Failed(_) | RunState::Canceled(_) => None,
    };
    let holds_session = run.plan.needs_session
        && match next {
            RunState::Pending => true,
            RunState::Started(progress) => progress.stage.holds_session(),
            RunState::Completed | RunState::Failed(_) | RunState::Canceled(_) => false,
        };
    // A candidate is worth something until its check is decided, and is a secret of no use afterwards.
    let is_candidate_kept = matches!(next, RunState::Started(Progress { stage: Stage::PostCheck, .. }));
    sqlx::query(
        "UPDATE runs
         SET state = $2, stage = $3, used = $4, lost_in_row = $5, saw_user_fault = $6, outcome = $7, holds_session = $8,
             candidate_sealed = CASE WHEN $9 THEN coalesce($10, candidate_sealed) END,
             result_sealed = coalesce($11, result_sealed),
             input_sealed = CASE WHEN $12 THEN NULL ELSE input_sealed END,
             owner = CASE WHEN $12 THEN NULL ELSE owner END,
             claimed_at = CASE WHEN $12 THEN NULL ELSE claimed_at END,
             ended_at = CASE WHEN $12 THEN $13 END
         WHERE id = $1",
    )
    .bind(run.id.as_str())
    .bind(next.as_str())
    .bind(progress.map(|progress| progress.stage.as_str()))
    .bind(progress.map_or(0, |progress| progress.used))
    .bind(progress.map_or(0, |progress| progress.lost_in_row))
    .bind(progress.is_some_and(|progress| progress.saw_user_fault))
    .bind(outcome_json(next))
    .bind(holds_session)
    .bind(is_candidate_kept)
    .bind(candidate)
    .bind(result)
    .bind(next.is_terminal())
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(())
}
