//! The first workspace with its first key, and the one line on stdout that says that the server is ready.
//!
//! The key is made last, so that a start that fails has not made a key that nobody saw. Of several nodes on one database the
//! first that serves the API makes it, and only that one shows it.

use std::io::Write as _;

use anyhow::Context as _;
use keywright_domain::WorkspaceId;
use keywright_store::{Bootstrap, Entropy, NewKey, Store};
use serde_json::json;

use crate::config::Roles;

/// The workspace, and its key if it was made just now.
pub(super) async fn bootstrap(store: &dyn Store, entropy: &dyn Entropy) -> anyhow::Result<(WorkspaceId, Option<String>)> {
    let offered = WorkspaceId::from_entropy(entropy.bytes());
    let (new, key) = NewKey::generate("first".to_owned(), entropy);
    match store.bootstrap(&offered, new).await.context("the first workspace cannot be made")? {
        Bootstrap::Created => Ok((offered, Some(key.into_inner()))),
        Bootstrap::Existing(workspace) => Ok((workspace, None)),
    }
}

/// The one line on stdout. A node that does not serve the API has no workspace to tell.
pub(super) fn announce(url: &str, roles: &Roles, workspace: Option<(WorkspaceId, Option<String>)>) -> anyhow::Result<()> {
    let mut line = json!({"url": url});
    if let Some((workspace, key)) = workspace {
        line["workspaceId"] = json!(workspace.as_str());
        if let Some(key) = key {
            line["apiKey"] = json!(key);
        }
    }
    line["roles"] = json!(roles.names());
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("stdout cannot be written")
}
