//! The simulation: the real engine and the real store, several nodes, virtual time, and everything that can go wrong going
//! wrong by chance. A failure prints its seed and the last of what happened.
//!
//! A seed decides what the world does to the nodes, and not which of two tasks that wake at the same moment runs first: tokio
//! wakes them in an order of its own. So a seed that failed is played again a few times until it fails again.

#![expect(clippy::unwrap_used, reason = "a test breaks where something is wrong")]

mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use world::{Backend, Play};

/// How long worlds are played here; `examples/a03_simulation.rs` plays on.
const TIME: Duration = Duration::from_secs(30);

/// Things asked for in each world.
const ASKS: u64 = 60;

fn play(seed: u64) -> Play {
    let fast = Path::new("/dev/shm");
    let parent = if fast.is_dir() { fast.to_owned() } else { std::env::temp_dir() };
    Play { backend: Backend::Sqlite(parent), seed, asks: ASKS, is_trace_kept: false }
}

#[test]
fn whatever_happens_to_many_nodes_the_promises_hold() {
    let stores = world::store_runtime();
    let (begun, mut seed, mut steps, mut runs, mut executions, mut virtual_s) = (Instant::now(), 0, 0, 0, 0, 0);
    while begun.elapsed() < TIME {
        let figures = play(seed).run(stores.handle()).unwrap_or_else(|failure| panic!("{failure}"));
        steps += figures.steps;
        runs += figures.runs;
        executions += figures.executions;
        virtual_s += figures.virtual_s;
        seed += 1;
    }
    eprintln!("{seed} worlds, {steps} steps, {runs} runs, {executions} executions, {virtual_s} s of their time");
}

/// Some of the bugs that are found soonest; `examples/a03_simulation.rs` looks for all of them.
#[cfg(feature = "planted-bugs")]
mod planted {
    use keywright_store::planted::{PlantedBug, plant};

    use super::{play, world};

    /// Worlds in which a bug has to be found.
    const WORLDS: u64 = 10;

    fn is_found(bug: PlantedBug) {
        let stores = world::store_runtime();
        plant(Some(bug));
        let is_found = (0..WORLDS).any(|seed| play(seed).run(stores.handle()).is_err());
        assert!(is_found, "{bug:?} is not found in {WORLDS} worlds");
    }

    /// One test, because a planted bug is the whole process's.
    #[test]
    fn bugs_that_are_planted_are_found() {
        use PlantedBug::*;
        [
            ClaimKeepsEpoch,
            RescueKeepsEpoch,
            RescueWithoutEvent,
            LostAttemptNotCounted,
            SessionUnchecked,
            AdoptUnchecked,
            TurnNotPassedOn,
            TwoOwnersOfSession,
            ConcurrencyIgnored,
        ]
        .into_iter()
        .for_each(is_found);
    }
}
