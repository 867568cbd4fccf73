//! Bugs that are planted on purpose, one at a time, to prove that the simulation would find them.
//!
//! Without the feature `planted-bugs`, [`is`] is `false` at compile time and nothing of any bug is left in the program. A
//! shipped binary never has the feature. With it, nothing is planted until [`plant`] names a bug; the choice is the
//! process's.

/// A bug that the simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// A commit does not look at the epoch of its claim.
    CommitWithoutEpoch,
    /// A new attempt, and handing a run back, do not look at the epoch of the claim.
    BeginWithoutEpoch,
    /// A claim keeps the epoch of the claim before.
    ClaimKeepsEpoch,
    /// Runs that are freed of a lost worker keep their epoch.
    RescueKeepsEpoch,
    /// Lost workers are given up without asking whether the seat is still held.
    RescueWithoutSeat,
    /// Lost workers are given up without having seen the database answer for a full TTL.
    RescueWithoutVigil,
    /// A rescue leaves no event.
    RescueWithoutEvent,
    /// A worker that was given up may renew its lease.
    RenewalOfTheLost,
    /// A worker whose lease may have lapsed goes on.
    NoSelfFence,
    /// A worker believes in its lease from when a renewal was answered, not from when it was sent.
    TenureFromAnswer,
    /// An attempt that a lost worker left open does not count.
    LostAttemptNotCounted,
    /// The API's code starts without a check of its session.
    SessionUnchecked,
    /// A captured state becomes the session's before a check has passed.
    AdoptUnchecked,
    /// Whoever leaves a session's line does not give the turn to the next.
    TurnNotPassedOn,
    /// A run need not wait for another of its session.
    TwoOwnersOfSession,
    /// What is taken at once is not held against a project's concurrency.
    ConcurrencyIgnored,
    /// An operation and its run are stored in two transactions.
    AcceptInTwoSteps,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::CommitWithoutEpoch,
        Self::BeginWithoutEpoch,
        Self::ClaimKeepsEpoch,
        Self::RescueKeepsEpoch,
        Self::RescueWithoutSeat,
        Self::RescueWithoutVigil,
        Self::RescueWithoutEvent,
        Self::RenewalOfTheLost,
        Self::NoSelfFence,
        Self::TenureFromAnswer,
        Self::LostAttemptNotCounted,
        Self::SessionUnchecked,
        Self::AdoptUnchecked,
        Self::TurnNotPassedOn,
        Self::TwoOwnersOfSession,
        Self::ConcurrencyIgnored,
        Self::AcceptInTwoSteps,
    ];
}

#[cfg(feature = "planted-bugs")]
mod choice {
    use std::sync::Mutex;

    use super::PlantedBug;

    static PLANTED: Mutex<Option<PlantedBug>> = Mutex::new(None);

    /// Plants a bug in this process, or takes out the one that was.
    pub fn plant(bug: Option<PlantedBug>) {
        *PLANTED.lock().expect("no thread panics while it holds this lock") = bug;
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn is(bug: PlantedBug) -> bool {
        *PLANTED.lock().expect("no thread panics while it holds this lock") == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use choice::{is, plant};

/// Whether this bug is planted; never, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is(_bug: PlantedBug) -> bool {
    false
}
