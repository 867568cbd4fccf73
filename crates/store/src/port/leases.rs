//! Leases on seats that only one worker may have at a time: today the scheduler's, whose holder sweeps.
//!
//! A seat that changes hands raises its epoch. What is done under a seat names the epoch and is done only while the seat is
//! still held, in the same transaction. A holder that dies leaves a seat that lapses.

use async_trait::async_trait;
use keywright_domain::{Epoch, WorkerId};

use crate::StoreError;

/// A seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseName {
    /// Gives up lost workers, ends runs that were locked out, and throws away what is not kept any longer.
    Scheduler,
}

impl LeaseName {
    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
        }
    }
}

/// A seat that was taken. Holding this is no proof; the epoch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub name: LeaseName,
    /// By whom.
    pub owner: WorkerId,
    /// The fence.
    pub epoch: Epoch,
}

/// Seats.
#[async_trait]
pub trait Leases {
    /// Takes a seat that is free or whose lease has lapsed, raising its epoch, or renews one's own under its epoch. Nothing
    /// while somebody else holds it, or when the worker is not alive.
    async fn acquire_lease(&self, name: LeaseName, owner: &WorkerId, ttl_ms: u32) -> Result<Option<Held>, StoreError>;

    /// Gives a seat back, if it is still held.
    async fn release_lease(&self, held: &Held) -> Result<(), StoreError>;
}
