//! What every request meets before and after its operation.

pub(crate) mod answer;
pub(crate) mod authentication;
pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod finish;
pub(crate) mod idempotency;
pub(crate) mod peer;
pub(crate) mod segments;
pub(crate) mod wrong_keys;
