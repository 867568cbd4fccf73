//! A limit on wrong keys per peer. Right keys never count and are never held up, so a neighbour who guesses cannot lock
//! anybody out.
//!
//! Kept in memory: a restart forgives, which costs nothing, since a key has 256 bits.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::peer::Peer;

/// Wrong keys at once; after that, one more each [`REFILL`].
const BURST: NonZeroU32 = NonZeroU32::new(30).expect("30 is not zero");

/// How long it takes until one more wrong key is answered.
const REFILL: Duration = Duration::from_secs(2);

/// Most peers remembered. Beyond that, peers that are not remembered are told to come later.
const MAX_PEERS: usize = 10_000;

/// Of the wrong keys that come while no further peer can be remembered, one in so many makes room for it. Looking for peers
/// that may be forgotten costs more than a guess costs the one who makes it.
const SWEEP_EVERY: usize = 1_000;

/// Counts wrong keys.
pub(crate) struct WrongKeys {
    limiter: DefaultKeyedRateLimiter<Peer>,
    clock: DefaultClock,
    turned_away: AtomicUsize,
}

impl Default for WrongKeys {
    fn default() -> Self {
        let quota = Quota::with_period(REFILL).expect("the period is not zero").allow_burst(BURST);
        Self { limiter: RateLimiter::keyed(quota), clock: DefaultClock::default(), turned_away: AtomicUsize::new(0) }
    }
}

impl std::fmt::Debug for WrongKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrongKeys").field("peers", &self.limiter.len()).finish_non_exhaustive()
    }
}

impl WrongKeys {
    /// Counts a wrong key. When there were too many, says how long the peer must wait.
    pub(crate) fn count(&self, peer: Peer) -> Result<(), Duration> {
        if self.limiter.len() >= MAX_PEERS {
            if self.turned_away.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY) {
                self.limiter.retain_recent();
            }
            if self.limiter.len() >= MAX_PEERS {
                return Err(REFILL);
            }
        }
        self.limiter.check_key(&peer).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn a_burst_is_answered_and_a_flood_is_not_and_others_are_not_touched() {
        let wrong = WrongKeys::default();
        let flooder = Peer::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let refused = (0..1_000).filter(|_| wrong.count(flooder).is_err()).count();
        assert!(refused >= 900, "{refused}");
        assert!(wrong.count(Peer::NOWHERE).is_ok());
    }

    #[test]
    fn the_number_of_remembered_peers_is_bounded() {
        let wrong = WrongKeys::default();
        for number in 0..20_000_u32 {
            let _ = wrong.count(Peer::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))));
        }
        assert!(wrong.limiter.len() <= MAX_PEERS);
    }
}
