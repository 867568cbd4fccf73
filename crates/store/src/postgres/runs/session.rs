//! What a run's transitions do to its session, whose line is locked.
//!
//! Until a candidate is adopted, the session's old state, parameters and proxy stay in force; adopting replaces them in one
//! statement each of one transaction. A session that is gone is left alone.

use keywright_domain::{RunKind, SessionKey};

use crate::Vault;
use crate::halt::Halt;
use crate::postgres::auth_sessions::shred_accepted;
use crate::postgres::transaction::Tx;
use crate::row::Fields;
use crate::row::auth_sessions::session_seal;
use crate::row::runs::{Current, run_seal};

const NO_SESSION: Halt = Halt::Misuse("a run without a session has nothing to say about one");

/// Whether the session exists.
pub(super) async fn is_there(tx: &mut Tx, key: Option<&SessionKey>) -> Result<bool, Halt> {
    let statement = sqlx::query("SELECT EXISTS (SELECT 1 FROM auth_sessions WHERE key = $1)").bind(key.map(SessionKey::as_str));
    tx.read_value(statement).await
}

/// Makes the run's candidate the session's next generation, with the input that made it.
pub(super) async fn adopt_candidate(tx: &mut Tx, vault: &Vault, run: &Current) -> Result<(), Halt> {
    let key = run.session.as_ref().ok_or(NO_SESSION)?;
    let statement =
        sqlx::query("SELECT id, candidate_sealed, input_sealed, proxy_sealed FROM runs WHERE id = $1").bind(run.id.as_str());
    let row = tx.read_one(statement).await?;
    let (fields, from) = (Fields::new(&row, "runs", "id")?, run_seal(vault, &run.workspace, &run.id));
    let to = session_seal(vault, &run.workspace, key);
    let candidate = from.read_json(&fields, "candidate_sealed")?;
    let candidate = candidate.ok_or(Halt::Misuse("a candidate is to be adopted, but there is none"))?;
    let statement = sqlx::query(
        "UPDATE auth_sessions SET state_sealed = $2, generation = generation + 1, status = 'ready', updated_at = $3
         WHERE key = $1",
    )
    .bind(key.as_str())
    .bind(to.json("state_sealed", candidate.reveal())?)
    .bind(tx.now.as_micros());
    tx.change(statement).await?;

    let parameters = to.json_optional("parameters_sealed", from.read_json(&fields, "input_sealed")?.as_ref())?;
    let proxy = to.proxy("proxy_sealed", from.read_proxy(&fields, "proxy_sealed")?.as_ref())?;
    let replace = match run.plan.kind {
        // A create says all there is to say of a session, so what it does not name is gone.
        RunKind::Create => {
            "UPDATE auth_sessions SET kind = 'credentials', parameters_sealed = $2, proxy_sealed = $3 WHERE key = $1"
        }
        // An update that names no proxy keeps the one the session is pinned to. A RUNTIME input is never kept.
        RunKind::Update => {
            "UPDATE auth_sessions SET parameters_sealed = CASE kind WHEN 'credentials' THEN coalesce($2, parameters_sealed) END,
                                      proxy_sealed = coalesce($3, proxy_sealed)
             WHERE key = $1"
        }
        // A login on the way renews the state; what a run brought along was for that run.
        RunKind::Api | RunKind::Validate => return Ok(()),
    };
    tx.change(sqlx::query(replace).bind(key.as_str()).bind(parameters).bind(proxy)).await?;
    Ok(())
}

/// A check on the session's state has passed.
pub(super) async fn mark_ready(tx: &mut Tx, run: &Current) -> Result<(), Halt> {
    mark(tx, run, "UPDATE auth_sessions SET status = 'ready', updated_at = $2 WHERE key = $1").await
}

/// The session has no state that holds.
pub(super) async fn mark_expired(tx: &mut Tx, run: &Current) -> Result<(), Halt> {
    mark(tx, run, "UPDATE auth_sessions SET status = 'expired', updated_at = $2 WHERE key = $1").await
}

/// A login of a session failed that may never have had a state.
pub(super) async fn mark_expired_if_new(tx: &mut Tx, run: &Current) -> Result<(), Halt> {
    mark(tx, run, "UPDATE auth_sessions SET status = 'expired', updated_at = $2 WHERE key = $1 AND generation = 0").await
}

async fn mark(tx: &mut Tx, run: &Current, statement: &'static str) -> Result<(), Halt> {
    let key = run.session.as_ref().ok_or(NO_SESSION)?;
    tx.change(sqlx::query(statement).bind(key.as_str()).bind(tx.now.as_micros())).await?;
    Ok(())
}

/// The run has ended and lets go of its session: one made for it alone vanishes with it, and one that never had a state and
/// that nobody is going to log in any more stops looking as if somebody were.
pub(super) async fn leave(tx: &mut Tx, run: &Current) -> Result<(), Halt> {
    let Some(key) = &run.session else { return Ok(()) };
    if run.is_session_ephemeral {
        tx.change(sqlx::query("DELETE FROM auth_sessions WHERE key = $1").bind(key.as_str())).await?;
        return shred_accepted(tx, key).await;
    }
    let statement = sqlx::query(
        "UPDATE auth_sessions SET status = 'expired', updated_at = $2
         WHERE key = $1 AND status = 'pending'
         AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.session_key = $1 AND r.ended_at IS NULL AND r.holds_session)",
    )
    .bind(key.as_str())
    .bind(tx.now.as_micros());
    tx.change(statement).await?;
    Ok(())
}
