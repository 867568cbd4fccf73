//! `GET /health/ready`: whether requests can be served, which takes a database.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{ErrorBody, Health};

use super::{database_answers, well};
use crate::app::App;
use crate::http::error::ApiError;

/// Readiness
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "healthReady",
    tag = "additive.health",
    responses(
        (status = 200, description = "Requests can be served.", body = Health),
        (status = 503, description = "They cannot.", body = ErrorBody)
    ),
    security(())
)]
pub(crate) async fn handle(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    database_answers(&app).await?;
    Ok(Json(well()))
}
