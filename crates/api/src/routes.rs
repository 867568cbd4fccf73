//! Every route, once: from this list come the router and the OpenAPI document, so neither can have what the other lacks.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, AppState};
use crate::docs::document::Document;
use crate::http::{authentication, error, finish};
use crate::{auth_sessions, deployments, docs, files, health, keys, operations, projects, runs};

/// Below this, everything belongs to a workspace and needs its key.
const WORKSPACES: &str = "/api/v1/workspace";

/// The whole API over these parts.
pub fn router(state: AppState) -> Router {
    let app = App::new(state);
    let (open, _) = open_routes().split_for_parts();
    let (keyed, _) = workspace_routes().split_for_parts();
    let authenticate = middleware::from_fn_with_state(Arc::clone(&app), authentication::authenticate);
    let keyed = keyed
        // `create` is also a legal name of a session, which must not be hidden by the route that creates.
        .route(
            "/{workspaceId}/projects/{projectName}/auth-sessions/create",
            get(auth_sessions::get::handle_named_create).delete(auth_sessions::delete::handle_named_create),
        )
        .route_layer(authenticate);
    let pages = open
        .route("/docs", get(docs::page::redirect))
        .route("/docs/", get(docs::page::index))
        .route("/docs/{file}", get(docs::page::file));
    finished(pages.nest(WORKSPACES, keyed), app)
}

/// Health and nothing else, for a node that serves nobody: its probes are answered, every other path is a 404.
pub fn health_router(state: AppState) -> Router {
    let (health, _) = health_routes().split_for_parts();
    finished(health, App::new(state))
}

/// With what surrounds every request.
fn finished(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    let finish = middleware::from_fn_with_state(Arc::clone(&app), finish::finish);
    routes
        .fallback(error::no_such_route)
        // Limits are set by those who read bodies; axum's own would refuse uploads, and in its own words.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(finish)
        .with_state(app)
}

/// The OpenAPI 3.1 document of the API, generated from the code that serves it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    OpenApiRouter::<Arc<App>>::with_openapi(Document::openapi())
        .merge(open_routes())
        .nest(WORKSPACES, workspace_routes())
        .into_openapi()
}

fn health_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(health::report::handle))
        .routes(routes!(health::live::handle))
        .routes(routes!(health::ready::handle))
}

/// What needs no key: health, the document, and files whose link is the key.
fn open_routes() -> OpenApiRouter<Arc<App>> {
    health_routes().routes(routes!(docs::document::handle)).routes(routes!(files::get::handle))
}

fn workspace_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(runs::start::handle))
        .routes(routes!(runs::result::handle))
        .routes(routes!(runs::cancel::handle))
        .routes(routes!(runs::events::handle))
        .routes(routes!(runs::attempts::handle))
        .routes(routes!(runs::attempt_log::handle))
        .routes(routes!(runs::attempt_trace::handle))
        .routes(routes!(auth_sessions::list::handle))
        .routes(routes!(auth_sessions::get::handle, auth_sessions::delete::handle))
        .routes(routes!(auth_sessions::create::handle))
        .routes(routes!(auth_sessions::create_result::handle))
        .routes(routes!(auth_sessions::update::handle))
        .routes(routes!(auth_sessions::update_result::handle))
        .routes(routes!(auth_sessions::validate::handle))
        .routes(routes!(auth_sessions::validate_result::handle))
        .routes(routes!(operations::get::handle))
        .routes(routes!(projects::list::handle))
        .routes(routes!(deployments::upload::handle, deployments::list::handle))
        .routes(routes!(deployments::get::handle))
        .routes(routes!(deployments::activate::handle))
        .routes(routes!(keys::create::handle, keys::list::handle))
        .routes(routes!(keys::revoke::handle))
}
