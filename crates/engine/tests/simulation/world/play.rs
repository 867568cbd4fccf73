//! Plays a world from its seed to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use keywright_domain::{KeyId, ProjectId, WorkspaceId};
use keywright_store::postgres::{PostgresOptions, PostgresStore};
use keywright_store::sqlite::SqliteStore;
use keywright_store::{Blobs, Entropy, FileLinks, MasterKey, NewKey, Store, Vault};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Client;
use super::dice::Dice;
use super::node::Node;
use super::promises::Promises;
use super::site::Site;
use super::time::DatabaseClock;
use super::trace::Trace;
use super::weather::Weather;
use super::{SimProject, World, drive, judge};

/// Nodes of a world.
const NODES: usize = 3;

/// Outages of the whole database, on average one in so many seconds.
const OUTAGE_S: f64 = 150.0;

/// How long everything may take to end once there are no more faults: the longest pause of a worker that could not start
/// attempts, a lease that has to lapse, and the work that is left.
const CALM_LIMIT: Duration = Duration::from_secs(1_500);

/// Where a world's database is.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    /// A file in this folder, which must be fast.
    Sqlite(PathBuf),
    /// An empty PostgreSQL database.
    #[cfg_attr(test, expect(dead_code, reason = "only the acceptance programme plays over PostgreSQL"))]
    Postgres(String),
}

/// What to play.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(crate) backend: Backend,
    pub(crate) seed: u64,
    /// Things that callers ask for.
    pub(crate) asks: u64,
    pub(crate) is_trace_kept: bool,
}

/// What was played.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) steps: u64,
    pub(crate) runs: u64,
    pub(crate) executions: u64,
    pub(crate) virtual_s: u64,
    #[cfg_attr(test, expect(dead_code, reason = "only the acceptance programme prints it"))]
    pub(crate) sum: u64,
    #[cfg_attr(test, expect(dead_code, reason = "only the acceptance programme prints it"))]
    pub(crate) trace: Vec<String>,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) what: String,
    pub(crate) trace: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nseed {} after {} steps:\n{}", self.what, self.seed, self.steps, self.trace)
    }
}

/// The runtime that stores work on. It outlives the worlds.
pub(crate) fn store_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl Play {
    /// Plays the world.
    pub(crate) fn run(&self, stores: &Handle) -> Result<Figures, Failure> {
        // Playing takes no time: whatever the world waits for, its clock is put forward to.
        let stage = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        stage.block_on(self.begin(stores))
    }

    async fn begin(&self, stores: &Handle) -> Result<Figures, Failure> {
        let dice = Arc::new(Dice::new(self.seed));
        let clock = Arc::new(DatabaseClock::default());
        clock.set(Duration::ZERO);
        let vault = Vault::new(MasterKey::from_bytes([7; 32]), Arc::clone(&dice) as Arc<dyn Entropy>);
        let (store, _folder) = self.open(stores, &vault, &clock);
        let workspace = WorkspaceId::from_entropy(dice.bytes());
        let key = NewKey { id: KeyId::from_entropy(dice.bytes()), name: "first".to_owned(), hash: [1; 32] };
        drive::at_once(stores, store.bootstrap(&workspace, key)).unwrap();
        let projects = ["shop", "bank", "mill"].into_iter().enumerate();
        let projects = projects.map(|(index, name)| SimProject {
            id: ProjectId::from_entropy(dice.bytes()),
            name: name.to_owned(),
            label: (index == 2).then_some("eu"),
        });
        let world = Arc::new(World {
            projects: projects.collect(),
            trace: if self.is_trace_kept { Trace::keeping_all() } else { Trace::default() },
            weather: Weather::stormy(),
            site: Site::default(),
            promises: Promises::default(),
            blobs: Blobs::in_memory(vault),
            links: FileLinks::new("http://127.0.0.1:1".to_owned(), [3; 32]),
            workspace,
            beginning: Instant::now(),
            store_runtime: stores.clone(),
            commits: Mutex::new(store.signals().subscribe()),
            listeners: Mutex::default(),
            echoes: Mutex::default(),
            steps: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            halted: Notify::new(),
            store,
            clock,
            dice,
        });
        let halted = tokio::select! {
            biased;
            () = world.halted.notified() => true,
            () = unfold(&world, self.asks) => world.promises.first_broken().is_some(),
        };
        let outcome = self.outcome(&world, halted);
        // Whatever is left of the nodes is dropped with the stage; the store is closed while its runtime still works.
        drive::at_once(stores, world.store.close());
        outcome
    }

    fn open(&self, stores: &Handle, vault: &Vault, clock: &Arc<DatabaseClock>) -> (Arc<dyn Store>, Option<tempfile::TempDir>) {
        match &self.backend {
            Backend::Sqlite(parent) => {
                let folder = tempfile::tempdir_in(parent).unwrap();
                let path = folder.path().join("keywright.db");
                let store = drive::at_once(stores, SqliteStore::open(&path, vault.clone(), Arc::clone(clock) as _)).unwrap();
                (Arc::new(store), Some(folder))
            }
            Backend::Postgres(url) => {
                let options = PostgresOptions { clock: Some(Arc::clone(clock) as _), ..PostgresOptions::new(url.clone()) };
                (Arc::new(drive::at_once(stores, PostgresStore::open(options, vault.clone())).unwrap()), None)
            }
        }
    }

    fn outcome(&self, world: &World, is_broken: bool) -> Result<Figures, Failure> {
        if is_broken {
            let what = world.promises.first_broken().unwrap();
            return Err(Failure { seed: self.seed, steps: world.steps(), what, trace: world.trace.last() });
        }
        Ok(Figures {
            steps: world.steps(),
            runs: world.promises.with(|known| known.asked.values().filter(|asked| asked.end.is_some()).count() as u64),
            executions: world.site.with(|journal| journal.executions.len() as u64),
            virtual_s: world.now().as_secs(),
            sum: world.trace.sum(),
            trace: world.trace.all(),
        })
    }
}

/// The storm, and the calm after it.
async fn unfold(world: &Arc<World>, asks: u64) {
    let mut tasks = JoinSet::new();
    for index in 0..NODES {
        tasks.spawn(Node::new(world, index).live());
    }
    let outages = Arc::clone(world);
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(outages.dice.once_in(OUTAGE_S)).await;
            if outages.weather.is_calm() {
                return;
            }
            outages.say("weather", "the database is gone");
            outages.weather.outage(Instant::now() + outages.dice.millis(500, 60_000));
        }
    });
    Client::new(world).ask_on(asks).await;
    world.say("weather", "calms down");
    world.weather.calm_down();
    // Whatever waits for a version that can be built gets one.
    Client::new(world).deploy_well().await;
    let calm_at = Instant::now();
    while !judge::has_ended(world) {
        if calm_at.elapsed() > CALM_LIMIT {
            world.broken(format!("L1: something has not ended {CALM_LIMIT:?} after the last fault: {}", judge::open(world)));
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // What follows an end (traces, logs of canceled attempts) has its time, too.
    tokio::time::sleep(Duration::from_secs(60)).await;
    if let Err(what) = judge::at_the_end(world) {
        world.broken(what);
    }
}
