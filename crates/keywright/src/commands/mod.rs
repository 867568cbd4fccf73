//! The commands of the CLI, one a file.

pub(crate) mod deploy;
pub(crate) mod keys;
mod pack;
mod recover;
pub(crate) mod setup;
