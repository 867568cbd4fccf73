//! `GET /docs`: Swagger UI over our own document. Its files are in the binary; the page may talk to this server only, and its
//! policy holds it to that.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use thiserror::Error;
use utoipa_swagger_ui::Config;

use crate::http::error::{ApiError, no_such_route};

/// Scripts and requests of our own only. The page styles itself in line, and draws icons from data URLs.
const OWN_THINGS_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The files change with the binary only.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// Its validator is somebody else's server; `none` switches it off.
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new(["/openapi.json"]).validator_url("none").try_it_out_enabled(true)));

/// The page could not be put together.
#[derive(Debug, Error)]
#[error("a file of the page cannot be made: {0}")]
struct BrokenPage(String);

/// The page's files are found relative to its own address, which therefore ends in a slash.
pub(crate) async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// The page.
pub(crate) async fn index() -> Result<Response, ApiError> {
    serve("index.html").await
}

/// A file of the page.
pub(crate) async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    serve(&name).await
}

async fn serve(name: &str) -> Result<Response, ApiError> {
    let found =
        utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).map_err(|error| ApiError::internal(BrokenPage(error.to_string())))?;
    let Some(file) = found else { return Err(no_such_route().await) };
    // Without a charset a browser guesses one, and the bundle does not survive a wrong guess.
    let media_type =
        if file.content_type.starts_with("text/") { format!("{}; charset=utf-8", file.content_type) } else { file.content_type };
    let media_type = HeaderValue::from_str(&media_type).map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, OWN_THINGS_ONLY),
        (header::CACHE_CONTROL, REVALIDATED),
    ];
    Ok((headers, file.bytes.into_owned()).into_response())
}
