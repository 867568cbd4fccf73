//! Health, for probes and for people: whether the process lives, whether it can serve, and what protects it.

pub(crate) mod live;
pub(crate) mod ready;
pub(crate) mod report;

use keywright_wire::{Health, HealthStatus};

use crate::app::App;
use crate::http::error::ApiError;

/// No key has this hash; looking for it asks the database without telling anything.
const NO_HASH: [u8; 32] = [0; 32];

/// Fails when the database does not answer.
async fn database_answers(app: &App) -> Result<(), ApiError> {
    match app.parts.store.find_key(&NO_HASH).await {
        Ok(_) => Ok(()),
        Err(error) => Err(ApiError::Unavailable(Box::new(error))),
    }
}

fn well() -> Health {
    Health { status: HealthStatus::Ok, server: None }
}
