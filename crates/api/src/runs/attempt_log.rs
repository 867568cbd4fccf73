//! `GET …/attempts/{number}/log`: what user code and the page said, one JSON object a line. Secrets were masked before it was
//! stored.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;

use super::find_attempt;
use crate::app::App;
use crate::http::answer::Download;
use crate::http::authentication::Caller;
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{AttemptPath, Segments, WorkspacePath};

/// Read an attempt's log
///
/// Lines of `{"timestamp", "level", "stream", "message"}`. Stored when the attempt ends.
#[utoipa::path(
    get,
    path = "/{workspaceId}/projects/{projectName}/run/{runId}/attempts/{number}/log",
    operation_id = "getAttemptLog",
    tag = "additive.runs",
    params(WorkspacePath, AttemptPath),
    responses((status = 200, description = "The log.", body = String, content_type = "application/x-ndjson"), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<AttemptPath>,
) -> Result<Download, ApiError> {
    let attempt = find_attempt(&app, &caller, &path).await?;
    let Some(blob) = attempt.log_blob else {
        let may_come = attempt.outcome.is_none();
        return Err(ApiError::NotFound {
            message: "the attempt has no log; one is stored when an attempt ends".to_owned(),
            may_come,
        });
    };
    let bytes = app.parts.blobs.get(&caller.workspace, &blob).await?;
    Ok(Download {
        bytes: bytes.ok_or_else(|| ApiError::not_found("the attempt's log is not there any more"))?,
        media_type: HeaderValue::from_static("application/x-ndjson; charset=utf-8"),
        name: format!("{}-{}.log.jsonl", path.run()?, attempt.number.get()),
    })
}
