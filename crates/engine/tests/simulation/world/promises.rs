//! What was promised, and the first promise that was broken.
//!
//! Three witnesses: what callers were told (acceptances, cancellations, ends), what nodes were told (claims, renewals, seats,
//! accepted writes), and what the site saw. Each step is held against all of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use keywright_domain::{AttemptId, Epoch, RunId, SessionKey, Timestamp, WorkerId};
use keywright_store::{Held, RunOutput};
use tokio::time::Instant;

/// What a caller knows of what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing yet, or nothing certain.
    Nothing,
    /// It was accepted.
    Accepted,
    /// It was not.
    Refused,
}

/// A run that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) project: usize,
    pub(crate) budget: u32,
    pub(crate) told: Told,
    /// When a caller was told that it is canceled.
    pub(crate) canceled_at: Option<Instant>,
    /// How it ended, once anybody saw that.
    pub(crate) end: Option<RunOutput>,
}

/// A claim as it was given out.
#[derive(Clone, Debug)]
pub(crate) struct GivenClaim {
    pub(crate) worker: WorkerId,
    pub(crate) epoch: Epoch,
}

/// A seat as it was given out last.
#[derive(Clone, Debug)]
pub(crate) struct GivenSeat {
    pub(crate) held: Held,
    pub(crate) until: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) asked: BTreeMap<RunId, Asked>,
    /// The run behind an idempotency key, once a caller was told.
    pub(crate) keys: HashMap<String, RunId>,
    /// The last claim of each run.
    pub(crate) claims: HashMap<RunId, GivenClaim>,
    pub(crate) seat: Option<GivenSeat>,
    /// Workers that were given up or have retired.
    pub(crate) gone: HashSet<WorkerId>,
    /// Attempts that the store has used up.
    pub(crate) begun: HashSet<AttemptId>,
    /// Generation and login of each session as they were seen last.
    pub(crate) sessions: HashMap<SessionKey, (u64, Option<u64>)>,
    broken: Option<String>,
}

/// Everything that was promised in one world.
#[derive(Debug, Default)]
pub(crate) struct Promises(Mutex<Known>);

impl Promises {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// A promise is broken. Only the first counts; what follows from it is of no interest.
    pub(crate) fn broken(&self, what: String) -> bool {
        self.with(|known| {
            let is_first = known.broken.is_none();
            known.broken.get_or_insert(what);
            is_first
        })
    }

    /// What is broken.
    pub(crate) fn first_broken(&self) -> Option<String> {
        self.with(|known| known.broken.clone())
    }

    /// Notes what somebody was shown of a run. An end never changes.
    pub(crate) fn shown(&self, output: &RunOutput) -> Result<(), String> {
        self.with(|known| {
            let Some(asked) = known.asked.get_mut(&output.id) else { return Ok(()) };
            match &asked.end {
                Some(end) if end != output => Err(format!("I1: run {} ended as {end:?} and is now {output:?}", output.id)),
                Some(_) => Ok(()),
                None => {
                    if output.state.is_terminal() {
                        asked.end = Some(output.clone());
                    }
                    Ok(())
                }
            }
        })
    }
}
