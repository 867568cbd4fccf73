//! The runner crate's tests against real parts: real runners, real browsers, real archives.

mod mask;
