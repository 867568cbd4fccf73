//! One slot, well supervised, and what a slot stands on: spawn, protocol, output, deadlines, sandbox; the build of a
//! deployment; secrets kept out of logs and traces.

mod archive;
mod build;
mod calls;
mod checkup;
mod conversation;
mod ending;
mod environment;
mod folder;
mod host;
mod ledger;
mod link;
mod log;
mod manifest;
mod mask;
mod modes;
mod pipes;
mod pool;
mod privacy;
mod protocol;
mod runtime;
mod sandbox;
mod slot;
mod spawn;
mod tools;
mod trace;
mod tree;
mod yard;

pub use archive::{UnpackError, unpack};
pub use build::{BuildFailure, BuildFault, Builder, BuilderConfig, BuilderError, Built, check_settings};
pub use checkup::{Checkup, Trial, check_up};
pub use host::{AttemptHost, HostError};
pub use manifest::{Manifest, ManifestError};
pub use mask::{MASK, Masker};
pub use pool::{AttemptReport, BrowserConfig, Pool, PoolConfig, PoolError};
pub use privacy::keep_memory_private;
pub use runtime::{Installer, RuntimeError, RuntimePaths};
pub use sandbox::{Protections, SandboxPolicy};
pub use trace::{RawTrace, TraceDropped, clean_trace};
