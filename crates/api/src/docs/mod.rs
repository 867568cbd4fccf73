//! The API's own document, and a page to try it on that asks nobody else for anything.

pub(crate) mod document;
pub(crate) mod page;
