//! Leases: how long a worker's word holds, when it must stop believing in itself, and when others may take over.
//!
//! A worker's claim on runs, builds and the scheduler's seat lives as long as its lease in the database. The lease is for
//! liveness, the epoch is for safety: a write that names an old epoch changes nothing, whatever any clock says. Everything
//! here is pure; moments are [`Duration`]s since some fixed point of a clock that goes on while the machine sleeps.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

/// The fence of a claim: raised whenever something changes hands, named by every write of its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(i64);

impl Epoch {
    /// An epoch as it is stored.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The stored form.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// The four times that leases live by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    beat_ms: u32,
    fence_ms: u32,
    ttl_ms: u32,
    sweep_ms: u32,
}

/// Terms under which two workers could believe in the same claim.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "lease times must grow from beat ({beat_ms} ms, at least 10) over fence ({fence_ms} ms) to TTL ({ttl_ms} ms), and a sweep takes 10 ms to a TTL, not {sweep_ms} ms"
)]
pub struct InvalidTerms {
    beat_ms: u32,
    fence_ms: u32,
    ttl_ms: u32,
    sweep_ms: u32,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self { beat_ms: 5_000, fence_ms: 25_000, ttl_ms: 30_000, sweep_ms: 5_000 }
    }
}

impl LeaseTerms {
    /// Terms in milliseconds: how often a lease is renewed, how long without a renewal its holder goes on, how long it
    /// lasts, and how often lapsed ones are looked for.
    ///
    /// # Errors
    /// When a holder could go on for longer than its lease lasts, or would not get to renew it.
    pub const fn new(beat_ms: u32, fence_ms: u32, ttl_ms: u32, sweep_ms: u32) -> Result<Self, InvalidTerms> {
        let is_ordered = 10 <= beat_ms && beat_ms < fence_ms && fence_ms < ttl_ms;
        if is_ordered && 10 <= sweep_ms && sweep_ms <= ttl_ms {
            Ok(Self { beat_ms, fence_ms, ttl_ms, sweep_ms })
        } else {
            Err(InvalidTerms { beat_ms, fence_ms, ttl_ms, sweep_ms })
        }
    }

    /// How often a lease is renewed.
    #[must_use]
    pub const fn beat(self) -> Duration {
        Duration::from_millis(self.beat_ms as u64)
    }

    /// How long without an acknowledged renewal its holder goes on.
    #[must_use]
    pub const fn fence(self) -> Duration {
        Duration::from_millis(self.fence_ms as u64)
    }

    /// How long a lease lasts by the database's clock.
    #[must_use]
    pub const fn ttl(self) -> Duration {
        Duration::from_millis(self.ttl_ms as u64)
    }

    /// The same in milliseconds, as it is handed to the database.
    #[must_use]
    pub const fn ttl_ms(self) -> u32 {
        self.ttl_ms
    }

    /// How often lapsed leases are looked for.
    #[must_use]
    pub const fn sweep(self) -> Duration {
        Duration::from_millis(self.sweep_ms as u64)
    }
}

/// A worker's belief in its own lease. It counts from the moment an acknowledged renewal was *sent*, because the database
/// may have carried it out at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    acknowledged_at: Duration,
}

/// What happened to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// It was sent at this moment and the database acknowledged it.
    Acknowledged {
        /// When it was sent.
        sent_at: Duration,
    },
    /// The database did not answer, or could not be asked. Nothing is known.
    Unanswered,
    /// The database answered that the worker was given up.
    Gone,
}

/// Whether a worker may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its lease holds at least until this moment.
    Holds {
        /// When it has to end everything, unless a renewal is acknowledged before.
        until: Duration,
    },
    /// It must end everything it does under this lease now.
    Fenced,
}

impl Tenure {
    /// A tenure that begins with a registration sent at this moment and acknowledged since.
    #[must_use]
    pub const fn new(sent_at: Duration) -> Self {
        Self { acknowledged_at: sent_at }
    }

    /// The tenure after a beat, or nothing when it is over.
    #[must_use]
    pub fn on(self, beat: Beat) -> Option<Self> {
        match beat {
            Beat::Acknowledged { sent_at } => Some(Self { acknowledged_at: self.acknowledged_at.max(sent_at) }),
            Beat::Unanswered => Some(self),
            Beat::Gone => None,
        }
    }

    /// Where the worker stands at this moment.
    #[must_use]
    pub fn standing(self, terms: LeaseTerms, now: Duration) -> Standing {
        let until = self.acknowledged_at + terms.fence();
        if now < until { Standing::Holds { until } } else { Standing::Fenced }
    }
}

/// The sweeper's patience: it gives nobody up before it has seen the database answer for one full TTL, so that an outage of
/// the database, during which nobody could renew, costs no worker its claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vigil {
    healthy_since: Option<Duration>,
}

impl Vigil {
    /// The vigil after the database answered, or did not, at this moment.
    #[must_use]
    pub fn on(self, has_answered: bool, now: Duration) -> Self {
        Self { healthy_since: if has_answered { Some(self.healthy_since.unwrap_or(now)) } else { None } }
    }

    /// Whether lapsed workers may be given up now.
    #[must_use]
    pub fn may_rescue(self, terms: LeaseTerms, now: Duration) -> bool {
        self.healthy_since.is_some_and(|since| now.saturating_sub(since) >= terms.ttl())
    }
}

/// A word that a worker carries and a project asks for, such as `region=eu`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerLabel(String);

/// Why a text is no label.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a worker label has 1 to {MAX_LABEL_BYTES} characters out of a-z, 0-9 and `._=/-`, and begins with a letter or digit")]
pub struct InvalidLabel;

/// Longest label.
const MAX_LABEL_BYTES: usize = 63;

/// Most labels of one worker or project.
pub const MAX_LABELS: usize = 32;

/// The labels of a worker, or those that a project asks for.
pub type WorkerLabels = BTreeSet<WorkerLabel>;

impl WorkerLabel {
    /// Reads a label.
    ///
    /// # Errors
    /// See [`InvalidLabel`].
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_label = (1..=MAX_LABEL_BYTES).contains(&text.len())
            && text.bytes().all(|c| is_plain(c) || b"._=/-".contains(&c))
            && text.bytes().next().is_some_and(is_plain);
        if is_label { Ok(Self(text.to_owned())) } else { Err(InvalidLabel) }
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn terms_that_let_two_believe_are_refused() {
        assert!(LeaseTerms::new(5_000, 25_000, 30_000, 5_000).is_ok_and(|terms| terms == LeaseTerms::default()));
        for (beat, fence, ttl, sweep) in
            [(5, 500, 600, 100), (500, 500, 600, 100), (100, 600, 600, 100), (100, 500, 600, 0), (100, 500, 600, 601)]
        {
            assert!(LeaseTerms::new(beat, fence, ttl, sweep).is_err(), "{beat} {fence} {ttl} {sweep}");
        }
    }

    proptest! {
        /// However slowly renewals are acknowledged, a worker that still believes has a lease that still holds.
        #[test]
        fn a_worker_never_outlives_its_lease(beats in prop::collection::vec((1..8_000u64, 0..9_000u64, 0..4u8), 1..60)) {
            let terms = LeaseTerms::default();
            let (mut now, mut tenure) = (ms(0), Tenure::new(ms(0)));
            // The database may carry a renewal out the moment it was sent, so this is the earliest end its lease can have.
            let mut lease_end = terms.ttl();
            for (pause, delay, luck) in beats {
                now += ms(pause);
                let sent_at = now;
                now += ms(delay);
                if luck > 0 {
                    tenure = tenure.on(Beat::Acknowledged { sent_at }).unwrap();
                    lease_end = lease_end.max(sent_at + terms.ttl());
                } else {
                    tenure = tenure.on(Beat::Unanswered).unwrap();
                }
                if let Standing::Holds { until } = tenure.standing(terms, now) {
                    prop_assert!(until < lease_end);
                }
            }
            prop_assert_eq!(tenure.on(Beat::Gone), None);
        }
    }

    #[test]
    fn nobody_is_given_up_before_a_full_ttl_of_answers() {
        let terms = LeaseTerms::default();
        let vigil = Vigil::default().on(true, ms(1_000));
        assert!(!vigil.may_rescue(terms, ms(30_999)) && vigil.may_rescue(terms, ms(31_000)));
        let interrupted = vigil.on(false, ms(40_000)).on(true, ms(41_000)).on(true, ms(60_000));
        assert!(!interrupted.may_rescue(terms, ms(70_000)) && interrupted.may_rescue(terms, ms(71_000)));
        assert!(!Vigil::default().may_rescue(terms, ms(1_000_000)));
    }

    #[test]
    fn labels_are_plain_words() {
        for (text, ok) in
            [("eu", true), ("region=eu-1", true), ("a/b.c_d", true), ("", false), ("=x", false), ("Ü", false), ("a b", false)]
        {
            assert_eq!(WorkerLabel::parse(text).is_ok(), ok, "{text}");
        }
        assert!(WorkerLabel::parse(&"x".repeat(64)).is_err());
    }
}
