//! What moves by itself: takes accepted runs, leads each through its attempts to exactly one end, builds deployments, files
//! traces, gives up workers that are lost, throws away what is not kept. Woken by the store's signals, and looking again by
//! itself now and then.
//!
//! Every decision is [`keywright_domain::RunState::on`]'s, or [`keywright_domain::Tenure`]'s; this crate carries it out in an
//! order that survives a crash: an attempt is used up durably before it is executed, and an end counts once its commit has
//! succeeded. It talks to [`Executor`] and [`Builder`], never to a process, and to the store's port, never to a database. Any
//! number of engines may work on one store: what one of them does it does as a worker with a lease, under claims with epochs.
//!
//! If the process dies here, every run is found as its last commit left it. Whoever comes next, the next life on this folder
//! or the sweep of another engine, frees the claims; an attempt that was open counts as lost, and the run goes on.

mod attempt;
mod backoff;
mod builder;
mod builds;
mod calls;
mod claims;
mod dispatcher;
mod driver;
mod ends;
mod engine;
mod executor;
mod fitness;
mod gates;
mod heartbeat;
mod life;
mod local_builds;
mod login;
mod masked;
mod order;
mod ramp;
mod retention;
mod scheduler;
mod shared;
mod status;
mod traces;

pub use builder::{BuildOutcome, Builder};
pub use calls::{CallError, UserCalls};
pub use engine::{Engine, EngineParts, EngineRoles, Identity};
pub use executor::{AttemptReport, Executor, PendingTrace};
pub use status::EngineStatus;
