//! `GET /health`: the same question as readiness, answered with everything a person wants to know, also when the answer is no.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keywright_store::WorkerStatus;
use keywright_wire::{ErrorBody, Health, HealthStatus};
use serde_json::{Value, json};

use super::troubles;
use crate::app::App;
use crate::http::error::ApiError;

/// Most workers that are counted.
const MAX_WORKERS: u32 = 10_000;

/// Health
///
/// What the node does, its version, its worker, its database and how many workers there are, what protects the machine from
/// the code it runs, and room on its disk. A 503 says the same under `details.server`.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "additive.health",
    responses((status = 200, description = "Well.", body = Health), (status = 503, description = "Not well.", body = ErrorBody)),
    security(())
)]
pub(crate) async fn handle(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    let database_trouble = app.pulse.trouble(&app.parts).await;
    let database = json!({"kind": app.parts.vitals.database(), "isReachable": database_trouble.is_none()});
    let mut server = app.parts.vitals.report();
    server.insert("database".to_owned(), database);
    if database_trouble.is_none() {
        server.insert("liveWorkers".to_owned(), live_workers(&app).await);
    }
    let server = Some(Value::Object(server));
    let reasons = troubles(&app).await;
    if reasons.is_empty() {
        Ok(Json(Health { status: HealthStatus::Ok, server }))
    } else {
        Err(ApiError::NotReady { reasons, server })
    }
}

/// How many workers live; null when the database would not say.
async fn live_workers(app: &App) -> Value {
    match app.parts.store.list_workers(MAX_WORKERS).await {
        Ok(workers) => json!(workers.iter().filter(|worker| worker.status == WorkerStatus::Live).count()),
        Err(_) => Value::Null,
    }
}
