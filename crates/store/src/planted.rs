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
    /// A new attempt does not look at the epoch of its claim.
    BeginWithoutEpoch,
    /// Runs that are freed of a lost worker keep their epoch.
    RescueKeepsEpoch,
    /// A cancellation keeps the epoch of its run.
    CancelKeepsEpoch,
    /// Lost workers are looked for without asking whether the seat is still held.
    RescueWithoutSeat,
    /// Lost workers are given up without having seen the database answer for a full TTL.
    RescueWithoutVigil,
    /// A worker that was given up may renew its lease.
    RenewalOfTheLost,
    /// A worker whose lease may have lapsed goes on.
    NoSelfFence,
    /// User code starts before its attempt is used up.
    BeginAfterStart,
    /// An attempt that a lost worker left open does not count.
    LostAttemptNotCounted,
    /// A captured state becomes the session's before a check has passed.
    AdoptUnchecked,
    /// Whoever leaves a session's line does not give the turn to the next.
    TurnNotPassedOn,
    /// A run takes its session although another has it.
    TwoOwnersOfSession,
    /// A project's concurrency is not looked at.
    ConcurrencyIgnored,
    /// An operation and its run are stored in two transactions.
    AcceptInTwoSteps,
    /// A rescue leaves no event.
    RescueWithoutEvent,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::CommitWithoutEpoch,
        Self::BeginWithoutEpoch,
        Self::RescueKeepsEpoch,
        Self::CancelKeepsEpoch,
        Self::RescueWithoutSeat,
        Self::RescueWithoutVigil,
        Self::RenewalOfTheLost,
        Self::NoSelfFence,
        Self::BeginAfterStart,
        Self::LostAttemptNotCounted,
        Self::AdoptUnchecked,
        Self::TurnNotPassedOn,
        Self::TwoOwnersOfSession,
        Self::ConcurrencyIgnored,
        Self::AcceptInTwoSteps,
        Self::RescueWithoutEvent,
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
