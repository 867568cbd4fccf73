//! One trait per noun. Every method is one transaction.

pub(crate) mod attempts;
pub(crate) mod auth_sessions;
pub(crate) mod deployments;
pub(crate) mod files;
pub(crate) mod key_values;
pub(crate) mod keys;
pub(crate) mod operations;
pub(crate) mod projects;
pub(crate) mod runs;
