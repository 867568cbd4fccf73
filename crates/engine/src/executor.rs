//! Who executes attempts, as the engine sees it.
//!
//! The engine hands over an order and gets a report; processes, browsers and protocols are somebody else's. A report that
//! never comes because the process died is what the open attempt in the store stands for.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{AttemptEnd, AttemptOrder, BrowserChoice, DeploymentId};
use tokio_util::sync::CancellationToken;

use crate::UserCalls;

/// Executes attempts.
#[async_trait]
pub trait Executor: Debug + Send + Sync {
    /// Executes one attempt to its end. The end belongs to the order's stage: `Returned` for an API, `Captured` for a
    /// `create`, `CheckPassed` for a check that returned true, `Failed` for everything else.
    ///
    /// When `cancel` fires the attempt is ended and nothing of it is left within ten seconds. It is then reported as
    /// `Aborted` when user code may have started, and as `Failed` and not counted when it has certainly not.
    async fn execute(&self, order: AttemptOrder, host: Arc<dyn UserCalls>, cancel: CancellationToken) -> AttemptReport;

    /// Prepares for attempts of a deployment that has just become ready. Only speed depends on it.
    async fn warm(&self, deployment: &DeploymentId, browser: BrowserChoice);
}

/// How an attempt ended, and what it leaves behind.
#[derive(Debug)]
pub struct AttemptReport {
    /// How.
    pub end: AttemptEnd,
    /// Its log as JSON lines, masked. Empty when there was nothing to say.
    pub log: Bytes,
    /// Its raw trace, if one was wanted and made.
    pub trace: Option<Box<dyn PendingTrace>>,
}

/// A raw trace that still holds secrets. It is used up by exactly one of its two methods, and gone after either.
#[async_trait]
pub trait PendingTrace: Debug + Send + Sync {
    /// The trace without secrets, or why there cannot be one, in words for a person.
    async fn clean(self: Box<Self>) -> Result<Bytes, String>;

    /// Removes it unread.
    async fn discard(self: Box<Self>);
}
