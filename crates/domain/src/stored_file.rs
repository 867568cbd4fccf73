//! A file that user code stored, as it is told of it.

use crate::FileId;

/// A stored file and where it can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFileLink {
    /// The file.
    pub id: FileId,
    /// An absolute address that needs no key and expires.
    pub read_url: String,
}
