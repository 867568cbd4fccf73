//! Chance: everything that is not determined by the code under test comes from one seed.

use std::sync::Mutex;
use std::time::Duration;

use keywright_store::Entropy;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt, SeedableRng};

/// The dice of one world.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<StdRng>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    fn with<T>(&self, throw: impl FnOnce(&mut StdRng) -> T) -> T {
        throw(&mut self.0.lock().unwrap())
    }

    /// True once in a while.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.with(|rng| rng.random_bool(probability))
    }

    /// A number from `low` up to, but not, `high`.
    pub(crate) fn number(&self, low: u64, high: u64) -> u64 {
        self.with(|rng| rng.random_range(low..high))
    }

    /// A number around nought.
    pub(crate) fn skew(&self, most: i64) -> i64 {
        self.with(|rng| rng.random_range(-most..=most))
    }

    /// A span of time.
    pub(crate) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.number(low, high))
    }

    /// A moment of something that happens once in so many seconds on average.
    pub(crate) fn once_in(&self, seconds: f64) -> Duration {
        let share: f64 = self.with(|rng| rng.random_range(f64::EPSILON..1.0));
        Duration::from_secs_f64(-share.ln() * seconds)
    }

    /// One of several.
    pub(crate) fn one_of<'a, T>(&self, things: &'a [T]) -> &'a T {
        &things[self.with(|rng| rng.random_range(0..things.len()))]
    }

    /// The bytes of an identity.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        self.with(|rng| rng.random())
    }
}

impl Entropy for Dice {
    fn fill(&self, buffer: &mut [u8]) {
        self.with(|rng| rng.fill_bytes(buffer));
    }
}
