//! Whether the database answers, takes writes and holds our tables: asked at most twice a second however many ask, because
//! anybody may ask.

use std::time::Duration;

use keywright_domain::with_causes;
use keywright_store::StoreError;
use tokio::sync::Mutex;

use crate::app::AppState;

/// How long the database may take to answer.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(2);

/// How long one answer is good for everybody.
const MAX_AGE: Duration = Duration::from_millis(500);

/// No key has this hash; looking for it shows that our tables are there without telling anything.
const NO_HASH: [u8; 32] = [0; 32];

/// The last answer. Whoever comes while the database is being asked waits for that answer instead of asking too.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    last: Mutex<Option<Felt>>,
}

#[derive(Clone, Copy, Debug)]
struct Felt {
    at: Duration,
    trouble: Option<&'static str>,
}

impl Pulse {
    /// What is wrong with the database, for people; nothing when it is well.
    pub(crate) async fn trouble(&self, parts: &AppState) -> Option<&'static str> {
        let mut last = self.last.lock().await;
        if let Some(felt) = *last
            && parts.clock.uptime().saturating_sub(felt.at) < MAX_AGE
        {
            return felt.trouble;
        }
        let trouble = match tokio::time::timeout(MAX_ANSWER_TIME, ask(parts)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(told(&error)),
            Err(_) => Some("the database does not answer in time"),
        };
        *last = Some(Felt { at: parts.clock.uptime(), trouble });
        trouble
    }
}

async fn ask(parts: &AppState) -> Result<(), StoreError> {
    let (written, read) = tokio::join!(parts.store.ping(), parts.store.find_key(&NO_HASH));
    written?;
    read.map(|_| ())
}

fn told(error: &StoreError) -> &'static str {
    tracing::warn!(cause = with_causes(error), "the database is not well");
    match error {
        StoreError::Unavailable(_) | StoreError::Unknown(_) => "the database does not answer or cannot take writes",
        StoreError::Driver { .. } | StoreError::Corrupt { .. } | StoreError::Vault(_) => {
            "the database answers, but not as ours does; its tables may be missing"
        }
    }
}
