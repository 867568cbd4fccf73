//! `GET /health`: whether the server can serve, its version, and what protects the machine from the code it runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{ErrorBody, Health, HealthStatus};

use super::database_answers;
use crate::app::App;
use crate::http::error::ApiError;

/// Health
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "additive.health",
    responses((status = 200, description = "Well.", body = Health), (status = 503, description = "Not well.", body = ErrorBody)),
    security(())
)]
pub(crate) async fn handle(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    database_answers(&app).await?;
    Ok(Json(Health { status: HealthStatus::Ok, server: Some(app.parts.health.clone()) }))
}
