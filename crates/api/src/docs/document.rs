//! `GET /openapi.json`: the OpenAPI 3.1 document, generated from the code.

use std::sync::LazyLock;

use axum::Json;
use keywright_wire::ErrorBody;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// What the document says about the whole API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keywright",
        description = "Runs browser automations that need to be logged in. Speaks the public Intuned Client API; \
                       operations whose tag begins with `additive` are Keywright's own.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This server.")),
    components(schemas(ErrorBody)),
    security(("api_key" = [])),
    modifiers(&KeyInHeader)
)]
pub(crate) struct Document;

struct KeyInHeader;

impl Modify for KeyInHeader {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key"))));
    }
}

/// Made once: it does not change while the process lives.
static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(crate::openapi);

/// The OpenAPI document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApiDocument",
    tag = "additive.document",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
    security(())
)]
pub(crate) async fn handle() -> Json<&'static utoipa::openapi::OpenApi> {
    Json(&DOCUMENT)
}
