//! The commands of the CLI, one a file.

pub(crate) mod backup;
mod backup_folder;
pub(crate) mod deploy;
pub(crate) mod doctor;
mod examine;
mod guest;
pub(crate) mod keys;
mod pack;
mod recover;
pub(crate) mod restore;
mod rotate;
pub(crate) mod setup;
pub(crate) mod verify;
