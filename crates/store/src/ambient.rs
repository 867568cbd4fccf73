//! The two things that cannot be replayed, behind traits: the time and randomness. This is their only home.

use std::time::Duration;

use keywright_domain::Timestamp;
use rand::TryRng;

/// Tells the time.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// The present moment. It can jump, and differs between machines: good for what people read, not for leases.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point. It never jumps and goes on while the machine sleeps.
    fn uptime(&self) -> Duration;
}

/// Makes bytes nobody can guess.
pub trait Entropy: std::fmt::Debug + Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// `N` fresh bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut buffer = [0; N];
        self.fill(&mut buffer);
        buffer
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock's home")]
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = elapsed.map_or(0, |elapsed| i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX));
        Timestamp::from_micros(micros)
    }

    fn uptime(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        rand::rngs::SysRng.try_fill_bytes(buffer).expect("the operating system always has randomness for us");
    }
}
