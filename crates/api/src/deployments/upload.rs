//! `PUT …/deployments`: takes a project's archive in, to be unpacked, checked and built.
//!
//! Refused at once is what cannot be an archive: empty, too large, not gzip. What is in it is judged by the build, which runs
//! apart from everything else and reports each problem with its file; the deployment then ends `failed` and the active one
//! stays. If the process dies before the row is committed, an unnamed blob is left behind and nothing was accepted.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use bytes::Bytes;
use keywright_domain::{DeploymentId, ProjectId, ProjectName};
use keywright_store::{BlobKey, NewDeployment};
use keywright_wire::Deployment;
use sha2::{Digest as _, Sha256};

use super::shown;
use crate::app::App;
use crate::http::answer::Created;
use crate::http::authentication::Caller;
use crate::http::body::{media_type, read};
use crate::http::error::{ApiError, Refusals};
use crate::http::segments::{ProjectPath, Segments, WorkspacePath};

/// Largest archive, compressed.
const MAX_ARCHIVE_BYTES: usize = 64 * 1024 * 1024;

/// How long an archive may take to arrive.
const MAX_ARCHIVE_TIME: Duration = Duration::from_secs(15 * 60);

/// When to come again while other uploads are taken in.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// What every gzip file begins with: magic and the one compression method there is.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// The smallest gzip file: header, one empty block, trailer.
const MIN_GZIP_BYTES: usize = 20;

/// Upload a deployment
///
/// The body is a gzipped tar of the project's folder, without installed dependencies. The project is made if it is new. Poll
/// the deployment until it is `ready` (it is then active) or `failed` (its `problems` say why).
#[utoipa::path(
    put,
    path = "/{workspaceId}/projects/{projectName}/deployments",
    operation_id = "uploadDeployment",
    tag = "additive.deployments",
    params(WorkspacePath, ProjectPath),
    request_body(content = Vec<u8>, content_type = "application/gzip"),
    responses((status = 201, description = "Stored, and being built.", body = Deployment), Refusals)
)]
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(path): Segments<ProjectPath>,
    request: Request,
) -> Result<Created<Deployment>, ApiError> {
    let project =
        ProjectName::parse(&path.project_name).map_err(|error| ApiError::bad_request(format!("the project's name {error}")))?;
    let Ok(_permit) = app.uploads.try_acquire() else {
        return Err(ApiError::TooManyRequests { message: "too many uploads at once", retry_after: BUSY_PAUSE });
    };
    let archive = read_archive(request).await?;

    let id = DeploymentId::from_entropy(app.parts.entropy.bytes());
    let digest = Sha256::digest(&archive).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let size_bytes = archive.len() as u64;
    app.parts.blobs.put(&caller.workspace, &BlobKey::archive(&id), archive).await?;
    let project_id_if_new = ProjectId::from_entropy(app.parts.entropy.bytes());
    let new = NewDeployment { id, project_id_if_new, project, digest, size_bytes };
    let deployment = app.parts.store.accept_deployment(&caller.workspace, new).await?;
    Ok(Created(shown(deployment)))
}

async fn read_archive(request: Request) -> Result<Bytes, ApiError> {
    // No content type at all is what `curl -T` sends; the first bytes tell anyway.
    let is_binary = media_type(request.headers())
        .is_none_or(|media| ["application/gzip", "application/x-gzip", "application/octet-stream"].contains(&media));
    if !is_binary {
        return Err(ApiError::UnsupportedMediaType { message: "the archive must be sent as application/gzip" });
    }
    let archive = read(request, MAX_ARCHIVE_BYTES, MAX_ARCHIVE_TIME).await?;
    if archive.len() < MIN_GZIP_BYTES || !archive.starts_with(&GZIP_MAGIC) {
        return Err(ApiError::bad_request("the body is not a gzipped tar archive"));
    }
    Ok(archive)
}
