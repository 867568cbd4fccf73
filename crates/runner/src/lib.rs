//! One slot, well supervised, and what a slot stands on: spawn, protocol, output, deadlines, sandbox; the build of a
//! deployment; secrets kept out of logs and traces.

mod archive;
mod manifest;
mod mask;
mod trace;

pub use archive::{UnpackError, unpack};
pub use manifest::{Manifest, ManifestError};
pub use mask::{MASK, Masker};
pub use trace::{RawTrace, TraceDropped, clean_trace};
