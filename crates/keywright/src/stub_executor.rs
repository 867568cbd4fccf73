//! Tests only: attempts and builds without runners and browsers, so that a server starts in a tenth of a second and what it
//! starts can be counted from outside.
//!
//! Every attempt writes one line to a journal before it does anything and one when it is over. A process that dies in
//! between leaves a start without an end, as a real attempt would. What an attempt does is told by its parameters (see
//! [`Script`]). An attempt whose start cannot be written does not start. Refuses nothing else, and is in no shipped binary.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::GzDecoder;
use keywright_domain::{
    ApiName, AttemptCode, AttemptEnd, AttemptFailure, AttemptOrder, BrowserChoice, DeploymentId, Language, Problem,
    SETTINGS_FILES, Secret, Stage,
};
use keywright_engine::{AttemptReport, BuildOutcome, Builder, Executor, UserCalls};
use keywright_store::{BuiltDeployment, Clock, Deployment};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The member of an attempt's parameters, or of a captured state, that holds its [`Script`].
const SCRIPT: &str = "stub";

/// The member of a login's parameters that holds the script of the checks of the state that it captures.
const CHECK_SCRIPT: &str = "stubCheck";

/// What an attempt does; by default it succeeds after 20 ms.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Script {
    /// How long it takes, milliseconds.
    sleep_ms: u64,
    /// Attempts of the run up to this number throw.
    failures: u32,
    /// Whether it never ends by itself.
    hangs: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self { sleep_ms: 20, failures: 0, hangs: false }
    }
}

impl Script {
    fn of(order: &AttemptOrder) -> Self {
        let source = match order.stage {
            Stage::Api | Stage::Create => order.parameters.as_ref(),
            Stage::Check | Stage::PostCheck => order.state.as_ref(),
        };
        let script = source.and_then(|source| source.reveal().get(SCRIPT));
        script.map_or_else(Self::default, |script| {
            serde_json::from_value(script.clone()).expect("tests write scripts that can be read")
        })
    }
}

/// Executes attempts by doing what their parameters say.
#[derive(Clone, Debug)]
pub(crate) struct StubExecutor {
    journal: Arc<File>,
    clock: Arc<dyn Clock>,
}

impl StubExecutor {
    /// The stub that `KEYWRIGHT_STUB_EXECUTOR` asks for: its value is the file to which the journal is appended.
    ///
    /// # Errors
    /// When that file cannot be opened.
    pub(crate) fn from_environment(clock: Arc<dyn Clock>) -> std::io::Result<Option<Self>> {
        #[expect(clippy::disallowed_methods, reason = "a switch for tests, which no configuration may know")]
        let Some(path) = std::env::var_os("KEYWRIGHT_STUB_EXECUTOR") else { return Ok(None) };
        Self::on(Path::new(&path), clock).map(Some)
    }

    fn on(path: &Path, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let journal = File::options().append(true).create(true).open(path)?;
        Ok(Self { journal: Arc::new(journal), clock })
    }

    /// Appends a line in one write, which therefore is there whole or not at all. The moment is the machine's uptime, which
    /// every process on it reads alike.
    fn write(&self, order: &AttemptOrder, event: &str) -> std::io::Result<()> {
        let mut line = json!({
            "event": event,
            "atUs": u64::try_from(self.clock.uptime().as_micros()).unwrap_or(u64::MAX),
            "process": std::process::id(),
            "run": order.attempt.run.as_str(),
            "number": order.attempt.number.get(),
            "stage": order.stage.as_str(),
            "session": order.session.as_ref().map(|session| session.key.as_str()),
        })
        .to_string();
        line.push('\n');
        let mut journal: &File = &self.journal;
        journal.write_all(line.as_bytes())
    }

    async fn act(&self, order: &AttemptOrder, script: Script, cancel: &CancellationToken) -> AttemptEnd {
        let over = async {
            if script.hangs {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(script.sleep_ms)).await;
        };
        let timeout = Duration::from_secs(u64::from(order.timeout.get()));
        tokio::select! {
            () = cancel.cancelled() => AttemptEnd::Aborted,
            () = tokio::time::sleep(timeout) => thrown(AttemptCode::ScriptTimeout),
            () = over => if order.attempt.number.get() <= script.failures {
                thrown(AttemptCode::ScriptExecutionException)
            } else {
                success(order)
            },
        }
    }
}

#[async_trait]
impl Executor for StubExecutor {
    async fn execute(&self, order: AttemptOrder, _host: Arc<dyn UserCalls>, cancel: CancellationToken) -> AttemptReport {
        let end = match self.write(&order, "start") {
            Ok(()) => self.act(&order, Script::of(&order), &cancel).await,
            Err(error) => AttemptEnd::Failed(AttemptFailure {
                code: AttemptCode::InternalServerError,
                message: format!("the journal cannot be written: {error}"),
                is_retryable: true,
                is_counted: false,
            }),
        };
        let event = match &end {
            AttemptEnd::Returned { .. } | AttemptEnd::Captured { .. } | AttemptEnd::CheckPassed => "succeeded",
            AttemptEnd::Failed(_) => "failed",
            AttemptEnd::Aborted => "aborted",
        };
        if let Err(error) = self.write(&order, event) {
            tracing::error!(attempt = %order.attempt, %error, "the end of an attempt is missing in the journal");
        }
        AttemptReport { end, log: Bytes::new(), trace: None }
    }

    async fn warm(&self, _deployment: &DeploymentId, _browser: BrowserChoice) {}
}

fn thrown(code: AttemptCode) -> AttemptEnd {
    let message = "the script says so".to_owned();
    AttemptEnd::Failed(AttemptFailure { code, message, is_retryable: true, is_counted: true })
}

/// What the stage is to end with. A result names its attempt, so that whoever reads it knows which one was committed.
fn success(order: &AttemptOrder) -> AttemptEnd {
    match order.stage {
        Stage::Api => {
            let attempt = &order.attempt;
            let result = json!({"run": attempt.run.as_str(), "number": attempt.number.get(), "process": std::process::id()});
            AttemptEnd::Returned { result, payloads: Vec::new() }
        }
        Stage::Create => {
            let check = order.parameters.as_ref().and_then(|parameters| parameters.reveal().get(CHECK_SCRIPT)).cloned();
            let mut state = json!({"cookies": [], "origins": []});
            if let Some(check) = check {
                state[SCRIPT] = check;
            }
            AttemptEnd::Captured { state: Secret::new(state) }
        }
        Stage::Check | Stage::PostCheck => AttemptEnd::CheckPassed,
    }
}

/// Takes a project as it is: its settings file, and the names of the files below `api/`. Nothing is unpacked or installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StubBuilder;

#[async_trait]
impl Builder for StubBuilder {
    async fn build(&self, _deployment: &Deployment, archive: Bytes) -> BuildOutcome {
        match read(&archive) {
            Ok(built) => match built.settings() {
                Ok(_) => BuildOutcome::Built(built),
                Err(error) => {
                    let problem = Problem { file: built.settings_file, line: None, message: error.to_string() };
                    BuildOutcome::Refused(vec![problem])
                }
            },
            Err(error) => BuildOutcome::Infrastructure(error.to_string()),
        }
    }

    async fn is_here(&self, _deployment: &DeploymentId) -> bool {
        true
    }
}

fn read(archive: &[u8]) -> std::io::Result<BuiltDeployment> {
    let mut built = BuiltDeployment {
        language: Language::Node,
        settings_file: SETTINGS_FILES[0].to_owned(),
        settings_text: String::new(),
        apis: Vec::new(),
        python: None,
        playwright_root: None,
        warnings: Vec::new(),
    };
    for entry in tar::Archive::new(GzDecoder::new(archive)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let parts: Vec<&str> = path.components().filter(|part| *part != Component::CurDir).filter_map(text).collect();
        match parts.as_slice() {
            [name] if *name == SETTINGS_FILES[0] => {
                entry.read_to_string(&mut built.settings_text)?;
            }
            ["api", file] => {
                let name = file.split_once('.').map_or(*file, |(name, _)| name);
                built.apis.extend(ApiName::parse(name));
            }
            _ => {}
        }
    }
    Ok(built)
}

fn text(part: Component<'_>) -> Option<&str> {
    part.as_os_str().to_str()
}
