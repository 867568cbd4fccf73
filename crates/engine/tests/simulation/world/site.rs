//! What user code did, as the website saw it: every start, on which node, with which login, and how it ended.
//!
//! It outlives all nodes. Whatever here contradicts a promise is broken in the world, not only in a table.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keywright_domain::{AttemptId, RunId, SessionKey, Stage};
use serde_json::Value;
use tokio::time::Instant;

use super::life::Life;

/// Which execution, in the order in which they began.
pub(crate) type ExecutionIndex = usize;

/// One execution of user code.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) attempt: AttemptId,
    pub(crate) stage: Stage,
    pub(crate) session: Option<SessionKey>,
    pub(crate) life: Arc<Life>,
    pub(crate) has_user_code: bool,
    pub(crate) told_at: Option<Instant>,
    pub(crate) is_over: bool,
    /// Since when it was seen to go on without a claim.
    pub(crate) unclaimed_since: Option<Instant>,
}

impl Execution {
    /// Goes on and has not been told to end.
    pub(crate) fn is_in_flight(&self) -> bool {
        !self.is_over && self.told_at.is_none()
    }
}

/// A browser state that some login made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    pub(crate) session: Option<SessionKey>,
    pub(crate) input: Option<Value>,
    pub(crate) has_passed_post_check: bool,
    pub(crate) has_passed_check: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) executions: Vec<Execution>,
    pub(crate) logins: Vec<Login>,
    /// Starts of user code by run and stage.
    pub(crate) starts: HashMap<(RunId, Stage), u32>,
    /// Runs with a check that passed.
    pub(crate) checked: BTreeMap<RunId, u32>,
}

/// The site.
#[derive(Debug, Default)]
pub(crate) struct Site(Mutex<Journal>);

impl Site {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Journal) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Everything that a dead process had started ends with it.
    pub(crate) fn ended_with(&self, life: &Arc<Life>) {
        self.with(|journal| {
            let theirs = journal.executions.iter_mut().filter(|execution| Arc::ptr_eq(&execution.life, life));
            theirs.for_each(|execution| execution.is_over = true);
        });
    }

    /// What is in flight on processes that have not renewed their lease for longer than this, though they run.
    pub(crate) fn unfenced(&self, fence: Duration) -> Option<Execution> {
        self.with(|journal| {
            let late = |execution: &&Execution| {
                execution.is_in_flight() && execution.life.is_running() && !execution.life.may_believe(fence)
            };
            journal.executions.iter().find(late).cloned()
        })
    }
}
