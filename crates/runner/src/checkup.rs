//! A check-up of the machine: whether runners and their browser start, and how they would be protected.
//!
//! It starts one slot of each language as an attempt would get it, browser launched and no project loaded, in folders of its
//! own, and ends it again, so it can be done beside a running server. If the process dies here, the kernel ends the slot.

use std::time::Duration;

use keywright_domain::{BrowserChoice, Language, with_causes};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::environment::SlotKind;
use crate::pool::{PoolConfig, PoolError};
use crate::sandbox::Protections;
use crate::slot::Slot;
use crate::yard::Yard;

/// What was found out.
#[derive(Clone, Debug)]
pub struct Checkup {
    /// What protects the machine from user code, and what does not.
    pub protections: Protections,
    /// One for each language.
    pub trials: Vec<Trial>,
}

/// A slot that was started and ended.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Of which language.
    pub language: Language,
    /// From the start of the process to a launched browser.
    pub took: Duration,
    /// Why it did not start, for people.
    pub failure: Option<String>,
}

/// Tries everything. `config` must name folders that nobody else uses; they are emptied.
///
/// # Errors
/// When the folders cannot be used, or a sandbox that is required cannot be had.
pub async fn check_up(config: PoolConfig, browser: BrowserChoice) -> Result<Checkup, PoolError> {
    let yard = Yard::open(config).await?;
    let mut trials = Vec::new();
    for language in [Language::Node, Language::Python] {
        let began = Instant::now();
        let kind = SlotKind { browser, ..SlotKind::base(language) };
        let started = Slot::start(&yard, kind, &CancellationToken::new()).await;
        let took = began.elapsed();
        let failure = match started {
            Ok(slot) => {
                slot.end(&yard, true).await;
                None
            }
            Err(error) => Some(with_causes(&error)),
        };
        trials.push(Trial { language, took, failure });
    }
    Ok(Checkup { protections: yard.protections().clone(), trials })
}
