//! `keywright keys`: the workspace's API keys, and the keys that everything is sealed with. An API key is shown once, on
//! stdout, when it is made.

use std::process::ExitCode;

use anyhow::Context as _;
use keywright_client::Client;
use serde_json::json;

use super::recover::recover;
use super::rotate::rotate;
use crate::cli::{KeysCommand, KeysOptions, Target};

/// Carries out one of them.
pub(crate) async fn keys(options: KeysOptions) -> anyhow::Result<ExitCode> {
    match options.command {
        KeysCommand::Create { name, target } => create(&target, &name).await?,
        KeysCommand::List { target } => list(&target).await?,
        KeysCommand::Revoke { id, target } => revoke(&target, &id).await?,
        KeysCommand::Recover { data_dir, name, json } => recover(&data_dir, name, json).await?,
        KeysCommand::Rotate { server, json } => return rotate(*server, json).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(target: &Target, name: &str) -> anyhow::Result<()> {
    let created = client(target)?.create_key(name).await.context("no key was made")?;
    if target.json {
        println!("{}", serde_json::to_string(&created)?);
    } else {
        eprintln!("This is the only time the key is shown.");
        println!("{}", created.key);
    }
    Ok(())
}

async fn list(target: &Target) -> anyhow::Result<()> {
    let list = client(target)?.list_keys().await.context("the keys cannot be listed")?;
    if target.json {
        println!("{}", serde_json::to_string(&list)?);
        return Ok(());
    }
    for key in list.keys {
        let standing = key.revoked_at.map_or_else(|| "live".to_owned(), |moment| format!("revoked {moment}"));
        println!("{}  {}  {}  {standing}", key.id, key.created_at, key.name);
    }
    Ok(())
}

async fn revoke(target: &Target, id: &str) -> anyhow::Result<()> {
    client(target)?.revoke_key(id).await.context("the key was not revoked")?;
    if target.json {
        println!("{}", json!({"id": id, "revoked": true}));
    } else {
        eprintln!("{id} is revoked.");
    }
    Ok(())
}

fn client(target: &Target) -> anyhow::Result<Client> {
    Ok(Client::new(&target.url, &target.workspace_id, &target.api_key)?)
}
