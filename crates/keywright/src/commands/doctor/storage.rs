//! Keys, database, its clock, and blobs.

use keywright_domain::with_causes;
use keywright_store::{Clock as _, MasterKeys, Store, SystemClock, Vault, VaultError};

use super::Line;
use crate::commands::guest::{Guest, entropy, open_blobs};
use crate::config::{Config, DATABASE_FILE, DatabaseChoice};

/// More than this between the database's clock and ours, in milliseconds, is told: no lease depends on it, but what people
/// read does.
const MAX_SKEW_MS: u64 = 2_000;

/// Looks at what things are kept in.
pub(super) async fn look(config: &Config) -> Vec<Line> {
    let mut lines = vec![keys(config)];
    let is_new = match &config.database {
        DatabaseChoice::Sqlite => !config.data_dir.join(DATABASE_FILE).exists(),
        DatabaseChoice::Postgres { .. } => false,
    };
    if is_new {
        lines.push(Line::warn("database", "not there yet; the first start makes it"));
    } else {
        lines.extend(database(config).await);
    }
    lines.push(blobs(config).await);
    lines
}

fn keys(config: &Config) -> Line {
    const WHAT: &str = "master key";
    match MasterKeys::load(&config.master_key_file) {
        Ok(_) => Line::ok(WHAT, format!("{} holds keys and is ours alone", config.master_key_file.display())),
        Err(VaultError::NoKeyFile(path)) => {
            Line::warn(WHAT, format!("there is no {}; the first start of a new database makes it", path.display()))
        }
        Err(error) => Line::fail(WHAT, with_causes(&error)),
    }
}

async fn database(config: &Config) -> Vec<Line> {
    const WHAT: &str = "database";
    let guest = match Guest::open(config).await {
        Ok(guest) => guest,
        Err(error) => return vec![Line::fail(WHAT, format!("{error:#}"))],
    };
    let store = guest.store.as_ref();
    let mut lines = Vec::new();
    match store.ping().await {
        Ok(now) => {
            lines
                .push(Line::ok(WHAT, format!("{} answers, takes writes, and has this program's schema", config.database.kind())));
            lines.push(clock(now.as_micros()));
        }
        Err(error) => lines.push(Line::fail(WHAT, format!("it takes no writes: {}", with_causes(&error)))),
    }
    lines.push(rotation(store).await);
    store.close().await;
    lines
}

fn clock(database_micros: i64) -> Line {
    const WHAT: &str = "clock";
    let skew_ms = SystemClock.now().as_micros().abs_diff(database_micros) / 1_000;
    if skew_ms > MAX_SKEW_MS {
        Line::warn(WHAT, format!("this machine's clock and the database's differ by {skew_ms} ms; set both by NTP"))
    } else {
        Line::ok(WHAT, format!("this machine's clock and the database's differ by less than {MAX_SKEW_MS} ms"))
    }
}

async fn rotation(store: &dyn Store) -> Line {
    const WHAT: &str = "data keys";
    match store.list_data_keys().await {
        Ok(standing) if standing.iter().all(|keys| keys.is_settled && keys.is_wrapped_by_current) => {
            Line::ok(WHAT, "all open with the current master key")
        }
        Ok(_) => Line::warn(WHAT, "a rotation of keys is not finished; run `keywright keys rotate` again"),
        Err(error) => Line::fail(WHAT, with_causes(&error)),
    }
}

async fn blobs(config: &Config) -> Line {
    const WHAT: &str = "blobs";
    // What is written and read here is sealed with nothing.
    let vault = Vault::new(MasterKeys::from([0; 32]), entropy());
    let checked = match open_blobs(&config.blobs, vault) {
        Ok(blobs) => blobs.check(entropy().as_ref()).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => Line::ok(WHAT, "can be written, read and removed"),
        Err(error) => Line::fail(WHAT, format!("{error:#}")),
    }
}
