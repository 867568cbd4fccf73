//! Health, for probes and for people: whether the process lives, whether requests should come to it, and how it stands.
//!
//! Nothing here needs a key and nothing here says a secret. If the process dies, nobody answers, which is an answer too.

pub(crate) mod live;
pub(crate) mod pulse;
pub(crate) mod ready;
pub(crate) mod report;

use std::fmt::Debug;

use keywright_wire::{Health, HealthStatus};
use serde_json::{Map, Value};

use crate::app::App;

/// What the process around the API knows about itself. It is asked for by strangers, so it answers at once, from memory.
pub trait Vitals: Debug + Send + Sync {
    /// Why requests should go elsewhere for now, each reason for people; nothing when all is well. The database is not its
    /// business.
    fn troubles(&self) -> Vec<String>;

    /// Which database it works on, in one word.
    fn database(&self) -> &'static str;

    /// What `GET /health` says about the process, without secrets.
    fn report(&self) -> Map<String, Value>;
}

/// Everything that is wrong now: with the process, and with its database.
async fn troubles(app: &App) -> Vec<String> {
    let mut troubles = app.parts.vitals.troubles();
    troubles.extend(app.pulse.trouble(&app.parts).await.map(str::to_owned));
    troubles
}

fn well() -> Health {
    Health { status: HealthStatus::Ok, server: None }
}
