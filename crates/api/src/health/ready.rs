//! `GET /health/ready`: whether requests should come here. A load balancer asks this; while it is a 503, they go elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_wire::{ErrorBody, Health};

use super::{troubles, well};
use crate::app::App;
use crate::http::error::ApiError;

/// Readiness
///
/// 503 while the database does not answer, takes no writes or lacks its tables, while the server ends, and while it cannot do
/// its work for another reason; `details.reasons` says which.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "healthReady",
    tag = "additive.health",
    responses(
        (status = 200, description = "Requests can be served.", body = Health),
        (status = 503, description = "They should go elsewhere.", body = ErrorBody)
    ),
    security(())
)]
pub(crate) async fn handle(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    let reasons = troubles(&app).await;
    if reasons.is_empty() { Ok(Json(well())) } else { Err(ApiError::NotReady { reasons, server: None }) }
}
