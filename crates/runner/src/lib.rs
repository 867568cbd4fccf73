//! One slot, well supervised, and what a slot stands on: spawn, protocol, output, deadlines, sandbox; the build of a
//! deployment; secrets kept out of logs and traces.

mod manifest;
mod mask;

pub use manifest::{Manifest, ManifestError};
pub use mask::{MASK, Masker};
