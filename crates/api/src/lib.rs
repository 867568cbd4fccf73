//! The HTTP API: one operation a file, each in the same four steps (load, authorise, act, answer), and around them what every
//! request meets: an id to find it by, a key, limits, one shape of error.
//!
//! A request that starts something writes its intent in one transaction and answers; nothing here executes anything, and
//! neither the engine nor the runner is known. If the process dies before the commit, nothing was accepted; after it, the
//! work goes on at the next start, whether or not the answer left.

mod app;
mod auth_sessions;
mod deployments;
mod docs;
mod files;
mod health;
mod http;
mod input;
mod keys;
mod operations;
mod projects;
mod routes;
mod runs;
mod serve;

pub use app::AppState;
pub use health::Vitals;
pub use routes::{health_router, openapi, router};
pub use serve::serve;
