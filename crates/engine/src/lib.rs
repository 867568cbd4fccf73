//! What moves by itself: takes accepted runs, leads each through its attempts to exactly one end, builds deployments, files
//! traces. Woken by the store's signals, and looking again by itself now and then.
//!
//! Every decision is [`keywright_domain::RunState::on`]'s; this crate carries it out in an order that survives a crash:
//! an attempt is used up durably before it is executed, and an end counts once its commit has succeeded. It talks to
//! [`Executor`] and [`Builder`], never to a process, and to the store's port, never to a database.
//!
//! If the process dies here, every run is found as its last commit left it. The next life frees the claims, counts an
//! attempt that was open as lost, and goes on.

mod attempt;
mod backoff;
mod builder;
mod builds;
mod calls;
mod dispatcher;
mod driver;
mod ends;
mod engine;
mod executor;
mod gates;
mod login;
mod masked;
mod order;
mod shared;
mod traces;

pub use builder::{BuildOutcome, Builder};
pub use calls::{CallError, UserCalls};
pub use engine::{Engine, EngineParts};
pub use executor::{AttemptReport, Executor, PendingTrace};
