//! `GET …/attempts/{number}/trace`: the Playwright trace of an attempt, cleaned of secrets before it was stored.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use bytes::Bytes;
use keywright_store::{BlobKey, TraceStatus};

use super::find_attempt;
use crate::app::App;
use crate::http::answer::Download;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{AttemptPath, Segments, WorkspacePath};

/// Download an attempt's trace
///
/// A zip for Playwright's trace viewer. It is cleaned off the answer's path: until then 404 with `retirable: true`. One that
/// was dropped is a 404 with the reason.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/run/{runId}/attempts/{number}/trace",
    operation_id = "getAttemptTrace",
    tag = "additive.runs",
    params(WorkspacePath, AttemptPath),
    responses((status = 200, description = "The trace.", body = Vec<u8>, content_type = "application/zip"), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<AttemptPath>,
) -> Result<Download, ApiError> {
    let attempt = find_attempt(&app, &caller, &path).await?;
    let key = match attempt.trace {
        TraceStatus::Stored(key) => key,
        TraceStatus::Pending => {
            return Err(ApiError::NotFound { message: "the trace is still being cleaned; try again".to_owned(), may_come: true });
        }
        TraceStatus::None => {
            let may_come = attempt.outcome.is_none();
            return Err(ApiError::NotFound { message: "the attempt has no trace".to_owned(), may_come });
        }
        TraceStatus::Dropped(reason) => return Err(ApiError::not_found(format!("the trace was not kept: {reason}"))),
    };
    Ok(Download {
        bytes: read(&app, &caller, &key).await?,
        media_type: HeaderValue::from_static("application/zip"),
        name: format!("{}-{}.trace.zip", path.run()?, attempt.number.get()),
    })
}

/// A trace that cannot be read any more takes nothing else with it: the run's own story stays readable.
async fn read(app: &App, caller: &Caller, key: &BlobKey) -> Result<Bytes, ApiError> {
    match app.parts.blobs.get(&caller.workspace, key).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(ApiError::not_found("the trace is not there any more")),
        Err(keywright_store::BlobError::Sealed(error)) => {
            tracing::warn!(%error, "a stored trace cannot be opened");
            Err(ApiError::not_found("the stored trace is damaged"))
        }
        Err(error) => Err(error.into()),
    }
}
