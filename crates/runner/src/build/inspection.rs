//! Loads every module of a built project once, in a runner, in the sandbox of an attempt, and without a browser.
//!
//! What an import does for good (an exit, an endless loop) is the project's problem; that no runner comes up is ours, unless
//! the project brings the environment it would run in. The runner and all that the imports started are ended before the
//! answer is given.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use keywright_domain::Problem;
use serde::Deserialize;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::codec::Framed;

use super::project::Project;
use super::workshop::Workshop;
use super::{BuildFailure, BuildFault, disk};
use crate::environment::{Environment, runner};
use crate::manifest::Manifest;
use crate::protocol::{VERSION, codec};
use crate::sandbox::Reach;
use crate::spawn::Process;
use crate::tools::{kept_end, last_words};
use crate::tree::end_all;

/// Interpreter and Playwright take a second or two, on a busy machine ten.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Importing a project's modules takes moments; one that works while it is imported is given this long.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// The socket's name in the workshop.
const SOCKET: &str = "inspect.sock";

/// What the runner found.
#[derive(Deserialize)]
struct Inspected {
    problems: Vec<Problem>,
    #[serde(default)]
    warnings: Vec<Problem>,
}

/// How far the conversation came when it broke off.
enum Broken {
    /// The runner never said hello.
    BeforeHello(String),
    /// The project's modules were being imported.
    InImport(String),
}

/// Loads the project; its warnings.
pub(super) async fn inspect(
    workshop: &Workshop<'_>,
    folder: &Path,
    project: &Project,
    manifest: &Manifest,
) -> Result<Vec<Problem>, BuildFailure> {
    let slot = workshop.slot();
    let listener = slot.listen(SOCKET, workshop.sandbox()).map_err(disk("make a socket for the check"))?;
    let own = (manifest.python.is_some() || manifest.playwright_root.is_some()).then_some((folder, manifest));
    let Environment { launch, mut readable } =
        runner(workshop.runtime(), manifest.language, own, slot.path(), SOCKET).map_err(disk("find the runner's environment"))?;
    readable.push(folder.to_owned());
    let reach = Reach { writable: &[slot.path().to_owned()], readable: &readable };
    let mut process = workshop.spawner().spawn(workshop.sandbox().wrap(launch, reach)).await.map_err(disk("start a runner"))?;
    slot.note(process.pid()).map_err(disk("note the runner"))?;
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let conversation = async {
        let outcome = converse(&mut process, listener, folder, project).await;
        end_all(&mut process, slot.path()).await;
        outcome
    };
    let (outcome, _said, complaints) = tokio::join!(conversation, kept_end(stdout), kept_end(stderr));
    let complaints = last_words(&String::from_utf8_lossy(&complaints));
    match outcome {
        Ok(inspected) if inspected.problems.is_empty() => Ok(inspected.warnings),
        Ok(inspected) => Err(BuildFailure::Refused(inspected.problems)),
        Err(Broken::InImport(why)) => Err(problem(format!("importing the project's code {why}\n{complaints}")).into()),
        Err(Broken::BeforeHello(why)) if own.is_some() => {
            Err(problem(format!("the runner does not start with the packages that the project brings: it {why}\n{complaints}"))
                .into())
        }
        Err(Broken::BeforeHello(why)) => Err(BuildFault::Runner(format!("{why}\n{complaints}")).into()),
    }
}

async fn converse(process: &mut Process, listener: UnixListener, folder: &Path, project: &Project) -> Result<Inspected, Broken> {
    let greeting = async {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(|error| format!("could not be heard: {error}"))?.0,
            exit = process.wait() => return Err(format!("{exit} before it said anything")),
        };
        let mut frames = Framed::new(stream, codec());
        let hello = next(&mut frames).await?;
        if hello["type"] != "hello" || hello["protocol"] != VERSION || hello["language"] != project.language.as_str() {
            return Err("did not begin as a runner does".to_owned());
        }
        Ok(frames)
    };
    let greeted = timeout(START_TIMEOUT, greeting).await.unwrap_or_else(|_| Err("was not there within 60 s".to_owned()));
    let mut frames = greeted.map_err(Broken::BeforeHello)?;
    let apis: Vec<&str> = project.apis.iter().map(|api| api.as_str()).collect();
    let order = json!({"type": "inspect", "root": folder, "apis": apis, "authSessions": project.is_auth_enabled});
    let answering = async {
        frames.send(Bytes::from(order.to_string())).await.map_err(|_| "ended the process".to_owned())?;
        loop {
            let message = next(&mut frames).await?;
            if message["type"] == "inspected" {
                return serde_json::from_value(message).map_err(|error| format!("gave no answer that can be read: {error}"));
            }
        }
    };
    let answered = timeout(IMPORT_TIMEOUT, answering).await;
    answered.unwrap_or_else(|_| Err("did not come to an end within 60 s".to_owned())).map_err(Broken::InImport)
}

async fn next(frames: &mut Framed<UnixStream, tokio_util::codec::LengthDelimitedCodec>) -> Result<serde_json::Value, String> {
    match frames.next().await {
        Some(Ok(body)) => serde_json::from_slice(&body).map_err(|_| "sent something that is not JSON".to_owned()),
        Some(Err(_)) => Err("sent something that is not a message".to_owned()),
        None => Err("ended the process".to_owned()),
    }
}

fn problem(message: String) -> Problem {
    Problem { file: "api".to_owned(), line: None, message: message.trim().to_owned() }
}
