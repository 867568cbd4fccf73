//! `GET /health/live`: whether the process answers at all. Asks nothing of anybody.

use axum::Json;
use keywright_wire::Health;

use super::well;

/// Liveness
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "healthLive",
    tag = "additive.health",
    responses((status = 200, description = "The process answers.", body = Health)),
    security(())
)]
pub(crate) async fn handle() -> Json<Health> {
    Json(well())
}
