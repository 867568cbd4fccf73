//! `keywright keys rotate`: a new master key, a new data key for every workspace, and every stored value sealed anew, while
//! servers run.
//!
//! Each step is whole or not done, and the order is such that everything can be read after any of them: the key file gets the
//! new key in front of the old ones; one transaction wraps all data keys with it and adds the new ones; values are sealed anew
//! in small batches; the rotation is settled. If the process dies anywhere, the next run sees how far it came and goes on from
//! there, without making further keys. Where several machines have a key file each, the first run only writes the file, because
//! nothing may be wrapped by a key that not everybody has.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use keywright_domain::WorkspaceId;
use keywright_store::{SealedCursor, Store};
use serde_json::json;

use super::guest::{Guest, entropy};
use crate::config::{Config, DatabaseChoice, ServeOptions};

/// Values sealed anew in one transaction.
const BATCH: u32 = 200;

/// Pause between two of them, in which a server's own writes get their turn.
const PAUSE: Duration = Duration::from_millis(20);

/// How often everything is gone through: what a server sealed with an older key meanwhile is found by the next pass.
const MAX_PASSES: u32 = 5;

/// How many damaged values are named.
const MAX_NAMED: usize = 20;

/// What was done.
#[derive(Debug, Default)]
struct Done {
    is_master_new: bool,
    has_new_data_keys: bool,
    values: u64,
    damaged: Vec<String>,
}

/// Rotates, or goes on with a rotation that was interrupted.
pub(super) async fn rotate(options: ServeOptions, is_json: bool) -> anyhow::Result<ExitCode> {
    let config = Config::load(options)?;
    let guest = Guest::open(&config).await?;
    let outcome = rotate_all(&config, &guest).await;
    guest.store.close().await;
    let Some(done) = outcome? else {
        if is_json {
            println!("{}", json!({"masterKeyIsNew": true, "isFinished": false}));
        }
        eprintln!("The new master key is in {}. Nothing is sealed with it yet.", config.master_key_file.display());
        eprintln!("Copy this file to every node of this database, then run this command again. No server needs a restart.");
        return Ok(ExitCode::SUCCESS);
    };
    for place in done.damaged.iter().take(MAX_NAMED) {
        eprintln!("does not open, and was left as it is: {place}");
    }
    if is_json {
        let (is_new, has_new) = (done.is_master_new, done.has_new_data_keys);
        let (values, damaged) = (done.values, done.damaged.len());
        println!(
            "{}",
            json!({"masterKeyIsNew": is_new, "dataKeysAreNew": has_new, "values": values, "damaged": damaged, "isFinished": true})
        );
    } else {
        eprintln!("{} values were sealed anew.", done.values);
        eprintln!(
            "Keep a copy of {}; copies of the data made before need the older keys in it.",
            config.master_key_file.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing when the new master key has to be copied to other nodes first.
async fn rotate_all(config: &Config, guest: &Guest) -> anyhow::Result<Option<Done>> {
    let mut done = Done::default();
    let standing = guest.store.list_data_keys().await.context("the data keys cannot be read")?;
    let is_wrapped = standing.iter().all(|keys| keys.is_wrapped_by_current);
    let is_settled = standing.iter().all(|keys| keys.is_settled);
    if is_wrapped && is_settled {
        guest.masters.rotate(entropy().as_ref())?;
        done.is_master_new = true;
        match config.database {
            DatabaseChoice::Sqlite => {}
            DatabaseChoice::Postgres { .. } => return Ok(None),
        }
    } else {
        eprintln!("A rotation that was begun is not finished; going on with it.");
    }
    if done.is_master_new || !is_wrapped {
        guest.store.rotate_data_keys().await.context("the data keys were not rotated")?;
        done.has_new_data_keys = true;
    }
    for keys in guest.store.list_data_keys().await.context("the data keys cannot be read")? {
        reseal_workspace(guest.store.as_ref(), &keys.workspace, &mut done).await?;
    }
    Ok(Some(done))
}

async fn reseal_workspace(store: &dyn Store, workspace: &WorkspaceId, done: &mut Done) -> anyhow::Result<()> {
    for _ in 0..MAX_PASSES {
        let mut damaged = Vec::new();
        let values = reseal_once(store, workspace, &mut damaged).await?;
        done.values += values;
        if values == 0 {
            done.damaged.extend(damaged);
            return store.settle_data_keys(workspace).await.context("the rotation was not settled");
        }
    }
    anyhow::bail!("a server goes on sealing with an older key; when it is idle, run this again")
}

/// Goes through everything once; how many values were sealed anew.
async fn reseal_once(store: &dyn Store, workspace: &WorkspaceId, damaged: &mut Vec<String>) -> anyhow::Result<u64> {
    let (mut values, mut next) = (0, Some(SealedCursor::default()));
    while let Some(from) = next {
        let batch = store.reseal(workspace, &from, BATCH).await.context("not everything was sealed anew; run this again")?;
        values += batch.values;
        damaged.extend(batch.damaged);
        next = batch.next;
        if batch.values > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(values)
}
