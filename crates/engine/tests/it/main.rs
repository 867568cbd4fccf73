//! The engine against the real SQLite store, with a scripted executor in the place of browsers.
//!
//! Nothing here waits for real time to pass: tests wait for commits and for attempts to begin, with one generous deadline that
//! only a hang can reach, and where time is what a test is about it is virtual and passes at once.

#![expect(clippy::unwrap_used, reason = "a test breaks where something is wrong")]

mod answers;
mod builds;
mod calls;
mod cancel;
mod crash;
mod hooked;
mod lifecycle;
mod lives;
mod machines;
mod nodes;
mod retention;
mod script;
mod simulation;
mod stop;
mod time;
mod traces;
mod trouble;
mod world;
