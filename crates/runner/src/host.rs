//! What user code may ask of the platform during its attempt, as a trait: the runner knows no store.

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::StoredFileLink;
use serde_json::Value;
use thiserror::Error;

/// Why a call was not answered.
#[derive(Debug, Error)]
pub enum HostError {
    /// The caller asked for something it cannot have; the text is for the author of the code.
    #[error("{message}")]
    Refused {
        /// A stable word for programs, in kebab case.
        code: &'static str,
        /// One line for a person.
        message: String,
    },
    /// Our own fault. User code is told that much and no more.
    #[error("the platform could not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HostError {
    /// The word that user code sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// The platform, as one attempt sees it. Every method may be called several times at once.
#[async_trait]
pub trait AttemptHost: Send + Sync {
    /// Reads a value that the project stored earlier.
    ///
    /// # Errors
    /// See [`HostError`].
    async fn get_value(&self, key: &str) -> Result<Option<Value>, HostError>;

    /// Stores a value for later runs of the project.
    ///
    /// # Errors
    /// See [`HostError`].
    async fn set_value(&self, key: &str, value: Value) -> Result<(), HostError>;

    /// Keeps a file and makes it readable by address.
    ///
    /// # Errors
    /// See [`HostError`].
    async fn store_file(&self, name: &str, content_type: Option<&str>, bytes: Bytes) -> Result<StoredFileLink, HostError>;
}
