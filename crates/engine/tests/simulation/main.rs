//! The simulation: the real engine and the real store, several nodes, virtual time, and everything that can go wrong going
//! wrong by chance. A failure prints its seed and the last of what happened.

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
    let (begun, mut seed, mut steps) = (Instant::now(), 0, 0);
    while begun.elapsed() < TIME {
        match play(seed).run(stores.handle()) {
            Ok(figures) => steps += figures.steps,
            Err(failure) => panic!("{failure}"),
        }
        seed += 1;
    }
    eprintln!("{seed} worlds, {steps} steps");
}
