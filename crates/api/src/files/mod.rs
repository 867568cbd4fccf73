//! Files that user code stored.

pub(crate) mod get;
