//! `keywright deploy`: packs a folder, uploads it, and waits until the server has installed, checked and activated it.
//!
//! If this process dies while it waits, the build goes on; `GET …/deployments` tells how it ended.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use keywright_client::Client;
use keywright_domain::{SETTINGS_FILES, Settings};
use keywright_wire::{Deployment, DeploymentProblem, DeploymentState};

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

/// The name that the settings file asks for. A file that the server would refuse is left to the server, which says why.
fn project_name(folder: &Path) -> anyhow::Result<String> {
    let found = SETTINGS_FILES.iter().find(|name| folder.join(name).is_file());
    let Some(file_name) = found else {
        bail!("{} has no settings file ({}); give a name with --name", folder.display(), SETTINGS_FILES.join(", "));
    };
    let path = folder.join(file_name);
    let content = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let settings = Settings::parse(file_name, &content).with_context(|| format!("{} is not valid", path.display()))?;
    let name =
        settings.project_name.with_context(|| format!("{} has no projectName; give a name with --name", path.display()))?;
    Ok(name.as_str().to_owned())
}

fn show(deployment: &Deployment) {
    for warning in &deployment.warnings {
        eprintln!("note: {}", at(warning));
    }
    for problem in &deployment.problems {
        eprintln!("error: {}", at(problem));
    }
    match deployment.status {
        DeploymentState::Ready => {
            println!("{} is deployed as {}: {}", deployment.project_name, deployment.id, deployment.apis.join(", "));
        }
        DeploymentState::Failed => eprintln!("{} was not deployed; what was active before still is", deployment.project_name),
        DeploymentState::Building => {}
    }
}

fn at(problem: &DeploymentProblem) -> String {
    match problem.line {
        Some(line) => format!("{}:{line}: {}", problem.file, problem.message),
        None if problem.file.is_empty() => problem.message.clone(),
        None => format!("{}: {}", problem.file, problem.message),
    }
}
