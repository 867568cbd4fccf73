//! One node: a data folder, and the lives of the process on it, which dies, is stopped, is cut off, and is deployed anew.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keywright_domain::{BrowserChoice, DeploymentId, LeaseTerms, NodeId, RetentionPolicy, WorkerLabel, WorkerLabels};
use keywright_engine::{Engine, EngineParts, EngineRoles, Identity};
use keywright_store::{Store, Supersedes};
use tokio::time::{Instant, sleep};

use super::World;
use super::executor::{ChanceBuilder, ChanceExecutor};
use super::life::Life;
use super::link::Link;
use super::time::NodeClock;

/// Runs that a node leads at once.
pub(crate) const PLACES: usize = 3;

/// How wrong a node's clock is at most.
const MAX_SKEW_US: i64 = 3_600 * 1_000_000;

/// Between two misfortunes of one node, on average.
const MISFORTUNE_S: f64 = 45.0;

/// How long answers are slow before the network breaks.
const SLOWNESS: Duration = Duration::from_secs(12);

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) world: Arc<World>,
    pub(crate) index: usize,
    id: NodeId,
    folders: Arc<Mutex<BTreeSet<DeploymentId>>>,
}

impl Node {
    pub(crate) fn new(world: &Arc<World>, index: usize) -> Self {
        Self { world: Arc::clone(world), index, id: NodeId::from_entropy(world.dice.bytes()), folders: Arc::default() }
    }

    /// Lives, one life after the other, until the world ends.
    pub(crate) async fn live(self) {
        let (mut number, dice) = (0, Arc::clone(&self.world.dice));
        loop {
            number += 1;
            let life = Arc::new(Life::new(format!("n{}.{number}", self.index)));
            let clock = Arc::new(NodeClock::new(self.world.beginning, dice.skew(MAX_SKEW_US)));
            self.world.say(&life.name, "begins");
            let started = tokio::select! {
                biased;
                () = life.dead() => None,
                started = Engine::start(self.parts(&life, &clock)) => Some(started),
            };
            match started {
                Some(Ok(engine)) => self.suffer(&life, &engine, &clock).await,
                Some(Err(error)) => self.world.broken(format!("the engine of {} does not start: {error:?}", life.name)),
                None => {}
            }
            life.kill();
            self.world.site.ended_with(&life);
            self.world.say(&life.name, "is dead");
            if dice.chance(0.2) {
                self.folders.lock().unwrap().clear();
            }
            let is_short = self.world.weather.is_calm() || dice.chance(0.5);
            sleep(if is_short { dice.millis(100, 3_000) } else { dice.millis(3_000, 80_000) }).await;
        }
    }

    fn parts(&self, life: &Arc<Life>, clock: &Arc<NodeClock>) -> EngineParts {
        let world = &self.world;
        // The first node alone has the label.
        let labels: WorkerLabels = if self.index == 0 { [WorkerLabel::parse("eu").unwrap()].into() } else { [].into() };
        EngineParts {
            store: Arc::new(Link::of_life(world, life)) as Arc<dyn Store>,
            blobs: world.blobs.clone(),
            clock: Arc::clone(clock) as _,
            entropy: Arc::clone(&world.dice) as _,
            executor: Arc::new(ChanceExecutor { world: Arc::clone(world), life: Arc::clone(life) }),
            builder: Arc::new(ChanceBuilder {
                world: Arc::clone(world),
                life: Arc::clone(life),
                folders: Arc::clone(&self.folders),
            }),
            links: world.links.clone(),
            concurrency: PLACES,
            default_proxy: None,
            default_browser: BrowserChoice::HeadlessShell,
            roles: EngineRoles { is_worker: true, is_scheduler: true },
            identity: Identity {
                node: self.id.clone(),
                host: format!("n{}", self.index),
                version: "1".to_owned(),
                supersedes: Supersedes::EarlierLivesOfNode,
            },
            labels,
            terms: LeaseTerms::default(),
            retention: RetentionPolicy::default(),
        }
    }

    /// What happens to a process, until it is over.
    async fn suffer(&self, life: &Arc<Life>, engine: &Engine, clock: &NodeClock) {
        let (world, dice) = (&self.world, &self.world.dice);
        loop {
            tokio::select! {
                biased;
                () = life.dead() => return,
                () = sleep(dice.once_in(MISFORTUNE_S)) => {}
            }
            if world.weather.is_calm() {
                continue;
            }
            match dice.number(0, 100) {
                0..30 => {
                    if dice.chance(0.5) {
                        world.say(&life.name, "hears little");
                        life.slow_down(Instant::now() + SLOWNESS);
                        tokio::select! {
                            biased;
                            () = life.dead() => return,
                            () = sleep(SLOWNESS) => {}
                        }
                    }
                    let until = Instant::now() + dice.millis(500, 70_000);
                    world.say(&life.name, "is cut off");
                    life.cut(Some(until));
                }
                30..45 => {
                    world.say(&life.name, "is stopped");
                    life.stop();
                    sleep(dice.millis(500, 80_000)).await;
                    world.say(&life.name, "goes on");
                    life.go_on();
                }
                45..55 => clock.jump(dice.skew(MAX_SKEW_US)),
                55..80 => {
                    world.say(&life.name, "is killed");
                    return;
                }
                _ => {
                    world.say(&life.name, "is asked to end");
                    let grace = dice.millis(0, 20_000);
                    tokio::select! {
                        biased;
                        () = life.dead() => {}
                        () = engine.stop(sleep(grace)) => {}
                        () = sleep(Duration::from_secs(60)) => world.broken(format!("{} does not end", life.name)),
                    }
                    return;
                }
            }
        }
    }
}
