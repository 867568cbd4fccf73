//! The runner crate's tests against real parts: real runners, real browsers, real archives.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails it by panicking")]

mod archive;
mod build;
mod mask;
mod real;
mod runtime;
mod slots;
mod trace;
