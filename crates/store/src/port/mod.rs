//! One trait per noun. Every method is one transaction, and every moment that is written comes from the database's clock.

pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod auth_sessions;
pub(crate) mod deployments;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod inventory;
pub(crate) mod key_values;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod operations;
pub(crate) mod projects;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod workers;
