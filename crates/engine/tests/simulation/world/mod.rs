//! A world: several nodes, each with the real engine, over one real store, with callers who ask for things, and weather.
//!
//! Everything in it is decided by one seed. Time is virtual; a call of the store is one step (see `drive.rs`).

mod client;
mod dice;
mod drive;
mod executor;
mod judge;
mod life;
mod link;
mod node;
mod play;
mod promises;
mod site;
mod time;
mod trace;
mod weather;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use keywright_domain::{AttemptOrder, ProjectId, WorkspaceId};
use keywright_store::{Blobs, FileLinks, Signals, Store};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::dice::Dice;
use self::life::Life;
use self::promises::Promises;
use self::site::Site;
use self::time::DatabaseClock;
use self::trace::Trace;
use self::weather::Weather;

pub(crate) use self::play::{Backend, Play, store_runtime};

/// Steps between two looks at everything.
const LOOK_STEPS: u64 = 25;

/// A project of the world.
#[derive(Debug)]
pub(crate) struct SimProject {
    pub(crate) id: ProjectId,
    pub(crate) name: String,
    /// The label that a worker needs for it, which not every node has.
    pub(crate) label: Option<&'static str>,
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dice: Arc<Dice>,
    pub(crate) trace: Trace,
    pub(crate) weather: Weather,
    pub(crate) site: Site,
    pub(crate) promises: Promises,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Blobs,
    pub(crate) links: FileLinks,
    pub(crate) workspace: WorkspaceId,
    pub(crate) projects: Vec<SimProject>,
    pub(crate) beginning: Instant,
    clock: Arc<DatabaseClock>,
    store_runtime: Handle,
    commits: Mutex<watch::Receiver<u64>>,
    listeners: Mutex<Vec<(Weak<Life>, Signals)>>,
    /// Requests that are held up on the way.
    echoes: Mutex<JoinSet<()>>,
    steps: AtomicU64,
    looked_at: AtomicU64,
    /// Something is broken.
    pub(crate) halted: Notify,
}

impl World {
    /// Does a call of the store here and now.
    pub(crate) fn at_once<T>(&self, call: impl Future<Output = T>) -> T {
        self.clock.set(self.beginning.elapsed());
        drive::at_once(&self.store_runtime, call)
    }

    /// Does a call of the store as far as it comes.
    fn cut_short<T>(&self, call: impl Future<Output = T>, polls: u64) -> Option<T> {
        self.clock.set(self.beginning.elapsed());
        let done = drive::cut_short(&self.store_runtime, call, polls);
        if done.is_none() {
            // What was sent to the database is done there; afterwards the world is the same whatever the machine is busy with.
            let _ = self.at_once(self.store.ping());
        }
        done
    }

    pub(crate) fn now(&self) -> Duration {
        self.beginning.elapsed()
    }

    pub(crate) fn say(&self, who: &str, what: &str) {
        self.trace.line(self.now(), who, what);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// A promise is broken: the world stops.
    pub(crate) fn broken(&self, what: String) {
        self.say("BROKEN", &what);
        if self.promises.broken(what) {
            self.halted.notify_one();
        }
    }

    /// A life that wants to hear of commits.
    pub(crate) fn listen(&self, life: &Arc<Life>, signals: Signals) {
        let mut listeners = self.listeners.lock().unwrap();
        listeners.retain(|(life, _)| life.upgrade().is_some_and(|life| !life.is_dead()));
        listeners.push((Arc::downgrade(life), signals));
    }

    /// A step was made. If it changed something, most nodes hear of it; hints may be lost.
    fn stepped(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        let has_changed = {
            let mut commits = self.commits.lock().unwrap();
            let has_changed = commits.has_changed().unwrap_or(true);
            commits.mark_unchanged();
            has_changed
        };
        if !has_changed {
            return;
        }
        let listeners = self.listeners.lock().unwrap().clone();
        for (life, signals) in listeners {
            let Some(life) = life.upgrade() else { continue };
            if self.weather.is_calm() || !self.weather.is_cut(Some(&life)) && self.dice.chance(0.85) {
                signals.announce();
            }
        }
        if self.steps() >= self.looked_at.load(Ordering::Relaxed) + LOOK_STEPS {
            self.looked_at.store(self.steps(), Ordering::Relaxed);
            judge::look(self);
        }
    }

    /// User code starts, or something that is called its attempt breaks before it does.
    fn begin_execution(&self, order: &AttemptOrder, life: &Arc<Life>, has_user_code: bool) -> site::ExecutionIndex {
        self.say(&life.name, &format!("executes {} of {}", order.stage.as_str(), order.attempt));
        if let Err(what) = judge::begins(self, order, life, has_user_code) {
            self.broken(what);
        }
        self.site.with(|journal| {
            journal.executions.push(site::Execution {
                attempt: order.attempt.clone(),
                stage: order.stage,
                session: order.session.as_ref().map(|session| session.key.clone()),
                life: Arc::clone(life),
                has_user_code,
                told_at: None,
                is_over: false,
                unclaimed_since: None,
            });
            journal.executions.len() - 1
        })
    }
}
