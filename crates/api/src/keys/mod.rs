//! API keys: made, listed and revoked with another key of the same workspace.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;
