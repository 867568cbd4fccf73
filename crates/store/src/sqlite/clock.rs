//! The database's clock: it never goes back and never jumps while this process lives, whatever is done to the machine's.
//!
//! Leases are moments of this clock, so a jump of the machine's clock would end all of them at once, or none for an hour. It
//! goes on by the time that passes since the database was opened, and approaches the machine's clock slowly where the two
//! differ. If the process dies, the next one begins at what the machine's clock says then; leases of the dead are over anyway.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::Timestamp;

use crate::Clock;

/// It makes up for at most one part in this many of the time that passes.
const SLOWNESS: i64 = 20;

/// Time that has passed and was not used to make up for anything counts only so far, microseconds.
const MAX_CREDIT_US: i64 = 1_000_000;

/// Tells the moments of one database.
#[derive(Debug)]
pub(super) struct SteadyClock {
    machine: Arc<dyn Clock>,
    told: Timestamp,
    told_at: Duration,
    credit_us: i64,
}

impl SteadyClock {
    /// A clock that begins at what `machine` says.
    pub(super) fn new(machine: Arc<dyn Clock>) -> Self {
        let (told, told_at) = (machine.now(), machine.uptime());
        Self { machine, told, told_at, credit_us: 0 }
    }

    /// The present moment, no earlier than any that was told before.
    pub(super) fn now(&mut self) -> Timestamp {
        let uptime = self.machine.uptime();
        let passed = uptime.saturating_sub(self.told_at).as_micros();
        let passed_us = i64::try_from(passed).unwrap_or(i64::MAX);
        self.told_at = self.told_at.max(uptime);
        self.credit_us = self.credit_us.saturating_add(passed_us).min(passed_us.max(MAX_CREDIT_US));
        let steady_us = self.told.as_micros().saturating_add(passed_us);
        let most_us = self.credit_us / SLOWNESS;
        let correction_us = self.machine.now().as_micros().saturating_sub(steady_us).clamp(-most_us, most_us);
        self.credit_us -= correction_us.abs() * SLOWNESS;
        self.told = self.told.max(Timestamp::from_micros(steady_us.saturating_add(correction_us)));
        self.told
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A machine whose clock is set by the test while time passes.
    #[derive(Debug, Default)]
    struct Machine(Mutex<(i64, u64)>);

    impl Machine {
        fn pass(&self, seconds: u32) {
            let mut state = self.0.lock().unwrap();
            state.0 += i64::from(seconds) * 1_000_000;
            state.1 += u64::from(seconds) * 1_000_000;
        }

        fn set_forward(&self, seconds: i64) {
            self.0.lock().unwrap().0 += seconds * 1_000_000;
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.lock().unwrap().0)
        }

        fn uptime(&self) -> Duration {
            Duration::from_micros(self.0.lock().unwrap().1)
        }
    }

    const HOUR_S: i64 = 3_600;

    fn seconds(clock: &mut SteadyClock) -> i64 {
        clock.now().as_micros() / 1_000_000
    }

    #[test]
    fn it_goes_with_a_machine_that_is_right() {
        let machine = Arc::new(Machine::default());
        machine.set_forward(1_000);
        let mut clock = SteadyClock::new(Arc::clone(&machine) as Arc<dyn Clock>);
        for second in 1_000..1_100 {
            assert_eq!(seconds(&mut clock), second);
            machine.pass(1);
        }
    }

    #[test]
    fn a_clock_that_is_set_moves_it_slowly_and_in_the_end_wholly() {
        for jump_s in [HOUR_S, -HOUR_S] {
            let machine = Arc::new(Machine::default());
            machine.set_forward(1_000_000);
            let mut clock = SteadyClock::new(Arc::clone(&machine) as Arc<dyn Clock>);
            machine.pass(600);
            let mut before = seconds(&mut clock);
            machine.set_forward(jump_s);
            for _ in 0..HOUR_S * SLOWNESS / 30 {
                machine.pass(30);
                let now = seconds(&mut clock);
                assert!((28..=32).contains(&(now - before)), "{before} {now}");
                before = now;
            }
            machine.pass(30);
            let wrong_us = clock.now().as_micros() - machine.now().as_micros();
            assert!(wrong_us.abs() < 2_000_000, "{wrong_us}");
        }
    }

    #[test]
    fn it_never_goes_back() {
        let machine = Arc::new(Machine::default());
        machine.set_forward(1_000);
        let mut clock = SteadyClock::new(Arc::clone(&machine) as Arc<dyn Clock>);
        let mut before = clock.now();
        for jump_s in [-1, 5, -2_000_000, 0, 2_000_000, -1] {
            machine.set_forward(jump_s);
            for pause_s in [0, 0, 1, 0] {
                machine.pass(pause_s);
                let now = clock.now();
                assert!(now >= before);
                before = now;
            }
        }
    }
}
