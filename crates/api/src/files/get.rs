//! `GET /files/{fileId}?expires&signature`: a stored file for whoever holds its link.
//!
//! A forged link, an expired one and one to a file that is gone are answered alike. Whatever the file is, a browser saves it
//! and never shows it.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderValue;
use keywright_domain::FileId;
use keywright_wire::ErrorBody;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::http::answer::Download;
use crate::http::error::ApiError;
use crate::http::segments::Segments;

const UNKNOWN_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The file.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(crate) struct FilePath {
    /// The file.
    file_id: String,
}

/// The proof.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Proof {
    /// When the link ends, in seconds since 1970.
    expires: i64,
    /// Over the file and that end.
    signature: String,
}

/// Download a stored file
///
/// The link is the key: no `x-api-key` is needed.
#[utoipa::path(
    get,
    path = "/files/{fileId}",
    operation_id = "getFile",
    tag = "additive.files",
    params(FilePath, Proof),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "Not a link that is good now.", body = ErrorBody)
    ),
    security(())
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    Segments(path): Segments<FilePath>,
    proof: Result<Query<Proof>, QueryRejection>,
) -> Result<Download, ApiError> {
    let Ok(Query(Proof { expires, signature })) = proof else { return Err(not_good()) };
    let id = FileId::parse(&path.file_id).map_err(|_| not_good())?;
    if !app.parts.links.verify(&id, expires, &signature, app.parts.clock.now()) {
        return Err(not_good());
    }
    let file = app.parts.store.get_file(&id).await?.ok_or_else(not_good)?;
    let bytes = app.parts.blobs.get(&file.workspace, &file.blob).await?.ok_or_else(not_good)?;
    let media_type = file.content_type.and_then(|media_type| HeaderValue::from_str(&media_type).ok()).unwrap_or(UNKNOWN_TYPE);
    Ok(Download { bytes, media_type, name: file.name })
}

fn not_good() -> ApiError {
    ApiError::not_found("this link is not good: it has expired, or was never one")
}
