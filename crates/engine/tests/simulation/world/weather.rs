//! What can happen to a call between a node and the store, and how often.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::dice::Dice;
use super::life::Life;

/// What a caller waits for a store that does not answer, before the connection gives up.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives, and its answer too, each after a while.
    Answered {
        /// Until it arrives.
        there: Duration,
        /// Until the answer does.
        back: Duration,
    },
    /// It does not arrive, and the caller is told.
    Refused {
        /// When it is told.
        after: Duration,
    },
    /// Nobody can tell the caller what became of it.
    Unknown {
        /// Whether it arrived.
        is_done: bool,
        /// When the caller is told so.
        after: Duration,
    },
    /// The caller dies before it is sent.
    DeathBefore,
    /// The process that calls, or the one that a caller from outside is served by, dies in the middle of the call, when it
    /// has been polled so many times.
    DeathInside(u64),
    /// The caller dies when it was done and before the answer is there.
    DeathAfter,
}

#[derive(Debug)]
struct Sky {
    is_calm: bool,
    outage_until: Option<Instant>,
}

/// The weather of a world.
#[derive(Debug)]
pub(crate) struct Weather(Mutex<Sky>);

impl Weather {
    pub(crate) fn stormy() -> Self {
        Self(Mutex::new(Sky { is_calm: false, outage_until: None }))
    }

    /// No faults any more.
    pub(crate) fn calm_down(&self) {
        *self.0.lock().unwrap() = Sky { is_calm: true, outage_until: None };
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.0.lock().unwrap().is_calm
    }

    /// The database answers nobody until then.
    pub(crate) fn outage(&self, until: Instant) {
        self.0.lock().unwrap().outage_until = Some(until);
    }

    /// Whether nothing gets from this life to the store, or from anybody.
    pub(crate) fn is_cut(&self, life: Option<&Life>) -> bool {
        let (is_calm, outage_until) = {
            let sky = self.0.lock().unwrap();
            (sky.is_calm, sky.outage_until)
        };
        let is_out = outage_until.is_some_and(|until| until > Instant::now());
        !is_calm && (is_out || life.is_some_and(|life| life.cut_until().is_some()))
    }

    /// Draws what becomes of a call.
    pub(crate) fn fate(&self, dice: &Dice, life: Option<&Life>) -> Fate {
        let (there, back) = (dice.millis(0, 12), dice.millis(0, 12));
        if self.is_calm() {
            return Fate::Answered { there, back };
        }
        if self.is_cut(life) {
            let after = if dice.chance(0.5) { CALL_TIMEOUT } else { dice.millis(1, 100) };
            return Fate::Refused { after };
        }
        if life.is_some_and(Life::is_slow) {
            return Fate::Answered { there, back: dice.millis(1_500, 6_000) };
        }
        let may_die = life.is_some();
        match dice.number(0, 1_000) {
            0..8 => Fate::Refused { after: dice.millis(0, 5_000) },
            8..16 => Fate::Unknown { is_done: true, after: dice.millis(0, 5_000) },
            16..20 => Fate::Unknown { is_done: false, after: dice.millis(0, 5_000) },
            20..24 => Fate::Answered { there: dice.millis(0, 60_000), back },
            24..28 => Fate::Answered { there, back: dice.millis(0, 60_000) },
            28..48 => Fate::Answered { there: dice.millis(0, 3_000), back: dice.millis(0, 3_000) },
            48..50 if may_die => Fate::DeathBefore,
            50..54 => Fate::DeathInside(dice.number(1, 4)),
            54..57 if may_die => Fate::DeathAfter,
            48..50 | 54..1_000 => Fate::Answered { there, back },
            _ => unreachable!("the range ends at a thousand"),
        }
    }
}
