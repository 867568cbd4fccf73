//! `keywright deploy`: packs a folder, uploads it, and waits until the server has installed, checked and activated it.
//!
//! If this process dies while it waits, the build goes on; `GET …/deployments` tells how it ended.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use keywright_client::Client;
use keywright_domain::SETTINGS_FILES;
use keywright_runner::check_settings;
use keywright_wire::{Deployment, DeploymentState};

use super::pack::pack;
use crate::cli::DeployOptions;

/// How often the server is asked.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for a build; the server itself gives up earlier.
const MAX_POLLS: u32 = 18_000;

/// Deploys and says how it went; exit code 1 when the server refused the project.
pub(crate) async fn deploy(options: DeployOptions) -> anyhow::Result<ExitCode> {
    let archive = pack(&options.dir)?;
    let name = match options.name {
        Some(name) => name,
        None => project_name(&options.dir)?,
    };
    let client = Client::new(&options.target.url, &options.target.workspace_id, &options.target.api_key)?;
    let uploaded = client.upload_deployment(&name, archive).await.context("the project was not uploaded")?;
    let deployment = wait(&client, &name, uploaded).await?;
    if options.target.json {
        println!("{}", serde_json::to_string(&deployment)?);
    } else {
        show(&deployment);
    }
    Ok(if deployment.status == DeploymentState::Ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn wait(client: &Client, project: &str, mut deployment: Deployment) -> anyhow::Result<Deployment> {
    for _ in 0..MAX_POLLS {
        if deployment.status != DeploymentState::Building {
            return Ok(deployment);
        }
        tokio::time::sleep(POLL).await;
        deployment = client.get_deployment(project, &deployment.id).await.context("the deployment cannot be looked up")?;
    }
    bail!("deployment {} is still being built; look again later", deployment.id)
}

/// The name that the settings file asks for. One that the server would refuse is refused here, in the server's words.
fn project_name(folder: &Path) -> anyhow::Result<String> {
    let found = SETTINGS_FILES.iter().find(|name| folder.join(name).is_file());
    let Some(file_name) = found else {
        bail!("{} has no settings file ({}); give a name with --name", folder.display(), SETTINGS_FILES.join(", "));
    };
    let path = folder.join(file_name);
    let content = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let settings = check_settings(file_name, &content)
        .map_err(|problem| anyhow!(at(&path.to_string_lossy(), problem.line, &problem.message)))?;
    let name =
        settings.project_name.with_context(|| format!("{} has no projectName; give a name with --name", path.display()))?;
    Ok(name.as_str().to_owned())
}

fn show(deployment: &Deployment) {
    for warning in &deployment.warnings {
        eprintln!("note: {}", at(&warning.file, warning.line, &warning.message));
    }
    for problem in &deployment.problems {
        eprintln!("error: {}", at(&problem.file, problem.line, &problem.message));
    }
    match deployment.status {
        DeploymentState::Ready => {
            println!("{} is deployed as {}: {}", deployment.project_name, deployment.id, deployment.apis.join(", "));
        }
        DeploymentState::Failed => eprintln!("{} was not deployed; what was active before still is", deployment.project_name),
        DeploymentState::Building => {}
    }
}

fn at(file: &str, line: Option<u32>, message: &str) -> String {
    match line {
        Some(line) => format!("{file}:{line}: {message}"),
        None if file.is_empty() => message.to_owned(),
        None => format!("{file}: {message}"),
    }
}
