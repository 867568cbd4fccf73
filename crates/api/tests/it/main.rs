//! The API over the real SQLite store, in process; the accept loop over real sockets.
//!
//! Every answer of every test is held against two documents: the contract's, and the one the API generates of itself.

#![expect(clippy::unwrap_used, reason = "what does not hold ends its test")]

mod attempts;
mod auth_session_create;
mod auth_session_delete;
mod auth_session_get;
mod auth_session_list;
mod auth_session_results;
mod auth_session_update;
mod auth_session_validate;
mod authentication;
mod bodies;
mod contract;
mod deployments;
mod docs;
mod document;
mod errors;
mod events;
mod files;
mod foreign;
mod health;
mod idempotency;
mod keys;
mod operations;
mod projects;
mod run_cancel;
mod run_result;
mod run_start;
mod serving;
mod worker;
mod world;
