//! Runs: start, read, cancel, and look at their attempts and their history.

pub(crate) mod attempt_log;
pub(crate) mod attempt_trace;
pub(crate) mod attempts;
pub(crate) mod cancel;
pub(crate) mod events;
mod login;
pub(crate) mod result;
pub(crate) mod start;

use keywright_domain::AttemptNumber;
use keywright_store::{AttemptRecord, RunOutput};
use keywright_wire::RunResult;

use crate::app::App;
use crate::http::authentication::Caller;
use crate::http::error::ApiError;
use crate::http::segments::{AttemptPath, no_attempt, no_run};

fn shown(run: RunOutput) -> RunResult {
    RunResult::new(&run.id, &run.state, run.result, &run.payloads)
}

/// One attempt of a run of the caller's.
async fn find_attempt(app: &App, caller: &Caller, path: &AttemptPath) -> Result<AttemptRecord, ApiError> {
    let project = app.project(&caller.workspace, &path.project_name).await?;
    let number: AttemptNumber = path.number()?;
    let attempts = app.parts.store.list_attempts(&project.id, &path.run()?).await?.ok_or_else(no_run)?;
    attempts.into_iter().find(|attempt| attempt.number == number).ok_or_else(no_attempt)
}
