//! What can go wrong between a client and a server.

use keywright_wire::ErrorBody;
use thiserror::Error;

/// A request that did not succeed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Not an address of a server.
    #[error("the server's address is not an http:// or https:// URL")]
    BadUrl,
    /// Not a key at all.
    #[error("the API key holds characters that no key has")]
    BadKey,
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Setup(#[source] reqwest::Error),
    /// No answer.
    #[error("the server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The server understood the request and refused it.
    #[error("{message} ({status}, correlation id {id})", message = body.message, id = body.correlation_id)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        body: Box<ErrorBody>,
    },
    /// An error that no Keywright server would send.
    #[error("the answer, with status {status}, is not a Keywright server's")]
    Foreign {
        /// The HTTP status.
        status: u16,
    },
    /// A success that no Keywright server would send.
    #[error("the answer is not a Keywright server's")]
    NotOurs(#[source] serde_json::Error),
}
