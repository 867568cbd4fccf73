//! Holds the world against its promises: as an attempt begins, every few steps, and at the end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use keywright_domain::{AttemptOrder, Epoch, RunId, SessionStatus, Stage, WorkerId};
use keywright_store::SessionSecrets;

use super::World;
use super::life::Life;
use super::node::PLACES;
use super::promises::Told;

/// How long a lease lasts.
pub(crate) const TTL: Duration = Duration::from_secs(30);

/// How long without an acknowledged renewal user code may go on, and a moment to tell it.
pub(crate) const FENCE: Duration = Duration::from_secs(26);

/// How long an attempt may go on unharmed after its claim was lost, on a node that reaches the store: the watcher's interval
/// and a lost answer or two.
const CLAIM_NOTICE: Duration = Duration::from_secs(20);

/// Rows of each broken invariant that are wanted of an audit.
const AUDIT_ROWS: u32 = 2;

/// Whether this attempt may begin.
pub(crate) fn begins(world: &World, order: &AttemptOrder, life: &Arc<Life>, has_user_code: bool) -> Result<(), String> {
    let (attempt, run) = (&order.attempt, &order.attempt.run);
    let (asked, is_begun) = world.promises.with(|known| (known.asked.get(run).cloned(), known.begun.contains(&order.attempt)));
    let asked = asked.ok_or_else(|| format!("run {run} executes, but nobody asked for it"))?;
    if !is_begun {
        return Err(format!("I2: attempt {attempt} starts before it is used up"));
    }
    if let Some(at) = asked.canceled_at
        && at.elapsed() > FENCE
    {
        return Err(format!("I3: attempt {attempt} starts {:?} after the cancellation was acknowledged", at.elapsed()));
    }
    world.site.with(|journal| {
        if has_user_code {
            let starts = journal.starts.entry((run.clone(), order.stage)).or_default();
            *starts += 1;
            if *starts > asked.budget {
                return Err(format!(
                    "I2: {} of run {run} starts {starts} times, {} are allowed",
                    order.stage.as_str(),
                    asked.budget
                ));
            }
        }
        let theirs = journal.executions.iter().filter(|other| !other.is_over && Arc::ptr_eq(&other.life, life)).count();
        if theirs >= PLACES {
            return Err(format!("I12: {} executes more than {PLACES} attempts at once", life.name));
        }
        for other in &journal.executions {
            if other.attempt == *attempt {
                return Err(format!("I4: attempt {attempt} starts twice"));
            }
            let is_elsewhere = !Arc::ptr_eq(&other.life, life);
            let believes = other.life.is_running() && other.life.may_believe(FENCE);
            if !other.is_in_flight() || !believes || !other.has_user_code {
                continue;
            }
            if other.attempt.run == *run && is_elsewhere && other.unclaimed_since.is_none() && claims(world, run) {
                return Err(format!("I4: attempt {attempt} starts while {} is under way on {}", other.attempt, other.life.name));
            }
            let same_session = order.session.as_ref().is_some_and(|session| other.session.as_ref() == Some(&session.key));
            let both_create = order.stage == Stage::Create && other.stage == Stage::Create;
            if both_create && same_session && holds(world, &other.attempt.run, &other.life) && holds(world, run, life) {
                return Err(format!("I9: {attempt} logs in while {} does on {}", other.attempt, other.life.name));
            }
        }
        if let (Stage::Api, Some(_)) = (order.stage, &order.session) {
            let login = order.state.as_ref().and_then(|state| state.reveal()["login"].as_u64());
            let login = login.and_then(|number| journal.logins.get(usize::try_from(number).unwrap()));
            let is_checked = login.is_some_and(|login| login.has_passed_post_check || login.has_passed_check);
            if !is_checked || !journal.checked.contains_key(run) {
                return Err(format!("I10: the API of {attempt} starts on a session that was not checked"));
            }
        }
        Ok(())
    })
}

/// Nobody who was canceled or rescued is looked at here: the store says who has the run now.
fn claims(world: &World, run: &RunId) -> bool {
    let claim = world.promises.with(|known| known.claims.get(run).cloned());
    claim.is_some_and(|claim| held(world, &claim.worker).contains(&(run.clone(), claim.epoch)))
}

/// Whether the store says that this run is this life's.
fn holds(world: &World, run: &RunId, life: &Life) -> bool {
    life.worker().is_some_and(|worker| held(world, &worker).iter().any(|(held, _)| held == run))
}

/// What the store says that a worker holds.
pub(crate) fn held(world: &World, worker: &WorkerId) -> HashSet<(RunId, Epoch)> {
    world.at_once(world.store.list_claims(worker)).map(|claims| claims.into_iter().collect()).unwrap_or_default()
}

/// Looks at everything.
pub(crate) fn look(world: &World) {
    if let Err(what) = look_closely(world) {
        world.broken(what);
    }
}

fn look_closely(world: &World) -> Result<(), String> {
    let violations = world.at_once(world.store.audit(AUDIT_ROWS)).map_err(|error| format!("the audit fails: {error:?}"))?;
    if let Some(first) = violations.first() {
        return Err(format!("audit: {} ({})", first.invariant, first.row));
    }
    if let Some(execution) = world.site.unfenced(FENCE) {
        let (attempt, name) = (execution.attempt, &execution.life.name);
        return Err(format!("fence: {attempt} goes on though {name} has had no renewal for longer than {FENCE:?}"));
    }
    unclaimed(world)?;
    runs(world)?;
    sessions(world)
}

/// Attempts whose claims are gone end soon, where the store can be reached.
fn unclaimed(world: &World) -> Result<(), String> {
    let in_flight: Vec<_> = world.site.with(|journal| {
        let all = journal.executions.iter().enumerate();
        all.filter(|(_, execution)| execution.is_in_flight() && execution.life.is_running())
            .map(|(index, execution)| (index, execution.attempt.clone(), Arc::clone(&execution.life)))
            .collect()
    });
    for (index, attempt, life) in in_flight {
        let is_held = claims(world, &attempt.run);
        let is_reached = !world.weather.is_cut(Some(&life)) && life.trouble_at().is_none_or(|at| at.elapsed() > CLAIM_NOTICE);
        let since = world.site.with(|journal| {
            let since = &mut journal.executions[index].unclaimed_since;
            *since = if is_held || !is_reached { None } else { Some(since.unwrap_or_else(tokio::time::Instant::now)) };
            *since
        });
        if let Some(since) = since
            && since.elapsed() > CLAIM_NOTICE
        {
            return Err(format!("L3: {attempt} goes on on {} for {:?} after its claim was lost", life.name, since.elapsed()));
        }
    }
    Ok(())
}

/// What was acknowledged is there and ends once; what was refused is not there.
fn runs(world: &World) -> Result<(), String> {
    let asked = world.promises.with(|known| known.asked.clone());
    for (id, asked) in asked {
        // Ends that were seen are looked at again now and then.
        if asked.end.is_some() && !world.dice.chance(0.1) {
            continue;
        }
        let found = world.at_once(world.store.find_run(&world.projects[asked.project].id, &id));
        let found = found.map_err(|error| format!("run {id} cannot be read: {error:?}"))?;
        match (asked.told, &found) {
            (Told::Accepted, None) => return Err(format!("I1: run {id} was acknowledged and is not there")),
            (Told::Refused, Some(_)) => return Err(format!("I25: run {id} was refused and is there")),
            (Told::Nothing | Told::Accepted, Some(output)) => world.promises.shown(output)?,
            (Told::Nothing | Told::Refused, None) => {}
        }
        if let (Some(_), Some(output)) = (asked.canceled_at, &found)
            && !output.state.is_terminal()
        {
            return Err(format!("I3: run {id} was acknowledged as canceled and is {:?}", output.state));
        }
    }
    Ok(())
}

/// A session's state is replaced only by a login and a check of that very state after it, with the input that made it.
fn sessions(world: &World) -> Result<(), String> {
    for project in &world.projects {
        let sessions = world.at_once(world.store.list_auth_sessions(&project.id)).map_err(|error| format!("{error:?}"))?;
        for session in sessions {
            let secrets = world.at_once(world.store.session_secrets(&session.key)).map_err(|error| format!("{error:?}"))?;
            let Some(SessionSecrets { state, parameters, .. }) = secrets else { continue };
            let login = state.as_ref().and_then(|state| state.reveal()["login"].as_u64());
            let seen = (session.generation, login);
            let before = world.promises.with(|known| known.sessions.insert(session.key.clone(), seen)).unwrap_or((0, None));
            let name = session.id.as_str();
            if seen == before {
                continue;
            }
            if seen.0 <= before.0 || login.is_none() {
                return Err(format!("I8: session {name} went from {before:?} to {seen:?}"));
            }
            let made =
                login.and_then(|login| world.site.with(|journal| journal.logins.get(usize::try_from(login).unwrap()).cloned()));
            let made = made.ok_or_else(|| format!("I8: session {name} has a state that no login made"))?;
            if !made.has_passed_post_check || made.session.as_ref() != Some(&session.key) {
                return Err(format!(
                    "I8: session {name} has the state of login {login:?}, which was not checked after it was made"
                ));
            }
            if let Some(parameters) = parameters
                && made.input.as_ref() != Some(parameters.reveal())
            {
                return Err(format!("I8: session {name} has another input than the one its state was made from"));
            }
        }
    }
    Ok(())
}

/// Whether every run that is there has ended.
pub(crate) fn has_ended(world: &World) -> bool {
    let open: Vec<_> = world.promises.with(|known| {
        known.asked.iter().filter(|(_, asked)| asked.end.is_none()).map(|(id, asked)| (id.clone(), asked.project)).collect()
    });
    open.into_iter().all(|(id, project)| match world.at_once(world.store.find_run(&world.projects[project].id, &id)) {
        Ok(Some(output)) => {
            if let Err(what) = world.promises.shown(&output) {
                world.broken(what);
            }
            output.state.is_terminal()
        }
        Ok(None) => true,
        Err(error) => {
            world.broken(format!("run {id} cannot be read: {error:?}"));
            false
        }
    })
}

/// What must be true once everything has ended.
pub(crate) fn at_the_end(world: &World) -> Result<(), String> {
    look_closely(world)?;
    let asked = world.promises.with(|known| known.asked.clone());
    for (id, asked) in &asked {
        let project = &world.projects[asked.project].id;
        let Some(attempts) = world.at_once(world.store.list_attempts(project, id)).map_err(|error| format!("{error:?}"))? else {
            continue;
        };
        if let Some(open) = attempts.iter().find(|attempt| attempt.outcome.is_none()) {
            return Err(format!("attempt {} of run {id} was left open", open.number.get()));
        }
        let executed = world.site.with(|journal| journal.executions.iter().filter(|one| one.attempt.run == *id).count());
        if executed > attempts.len() {
            return Err(format!("I2: run {id} was executed {executed} times and has {} attempts", attempts.len()));
        }
        for attempt in &attempts {
            if let Some(log) = &attempt.log_blob
                && !matches!(world.at_once(world.blobs.get(&world.workspace, log)), Ok(Some(_)))
            {
                return Err(format!("the log of attempt {} of run {id} is named and not there", attempt.number.get()));
            }
        }
    }
    for project in &world.projects {
        for session in world.at_once(world.store.list_auth_sessions(&project.id)).map_err(|error| format!("{error:?}"))? {
            if session.status == SessionStatus::Pending {
                return Err(format!("session {} is pending, and nobody logs in", session.id));
            }
        }
    }
    Ok(())
}

/// What has not ended.
pub(crate) fn open(world: &World) -> String {
    let open: Vec<_> = world.promises.with(|known| {
        known.asked.iter().filter(|(_, asked)| asked.end.is_none()).map(|(id, asked)| (id.clone(), asked.project)).collect()
    });
    let mut text = String::new();
    for (id, project) in open {
        if let Ok(Some(output)) = world.at_once(world.store.find_run(&world.projects[project].id, &id)) {
            text += &format!("{id} ({}) is {:?}; ", world.projects[project].name, output.state);
        }
    }
    text
}
