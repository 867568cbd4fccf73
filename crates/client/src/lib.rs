//! A typed client of a Keywright server, over the types of `wire`: what the command line needs, and no more.
//!
//! Follows no redirects and asks no proxy of the environment, so a key goes to the server that was named and to nobody else.
//! Repeats nothing: whoever calls decides. Holds no state, so nothing is lost if the process dies.

mod error;

use std::time::Duration;

use keywright_wire::{ApiKeyList, CreatedKey, Deployment, NewKeyRequest};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use url::Url;

pub use error::ClientError;

/// Longest time one request may take; an upload of the largest accepted archive fits into it on any network worth using.
const MAX_REQUEST: Duration = Duration::from_secs(120);
/// Longest time until a server must have been reached.
const MAX_CONNECT: Duration = Duration::from_secs(10);

/// Speaks to one workspace of one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    api_key: HeaderValue,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.base)
    }
}

impl Client {
    /// A client for a workspace of the server at `url`.
    ///
    /// # Errors
    /// When the address or the key cannot be one.
    pub fn new(url: &str, workspace_id: &str, api_key: &str) -> Result<Self, ClientError> {
        let mut base = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(ClientError::BadUrl)?;
        base.path_segments_mut().map_err(|()| ClientError::BadUrl)?.pop_if_empty().extend([
            "api",
            "v1",
            "workspace",
            workspace_id,
        ]);
        let mut api_key = HeaderValue::from_str(api_key).map_err(|_| ClientError::BadKey)?;
        api_key.set_sensitive(true);
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(MAX_CONNECT)
            .timeout(MAX_REQUEST)
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { http, base, api_key })
    }

    /// Uploads a packed project; its build is then under way.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn upload_deployment(&self, project: &str, archive: Vec<u8>) -> Result<Deployment, ClientError> {
        let request = self.request(Method::PUT, &["projects", project, "deployments"]);
        read(request.header(CONTENT_TYPE, "application/gzip").body(archive)).await
    }

    /// How far a deployment has come.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_deployment(&self, project: &str, id: &str) -> Result<Deployment, ClientError> {
        read(self.request(Method::GET, &["projects", project, "deployments", id])).await
    }

    /// Makes a key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_key(&self, name: &str) -> Result<CreatedKey, ClientError> {
        read(self.request(Method::POST, &["keys"]).json(&NewKeyRequest { name: name.to_owned() })).await
    }

    /// All keys of the workspace.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list_keys(&self) -> Result<ApiKeyList, ClientError> {
        read(self.request(Method::GET, &["keys"])).await
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_key(&self, id: &str) -> Result<(), ClientError> {
        send(self.request(Method::DELETE, &["keys", id])).await.map(drop)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        // Each part is encoded as one segment, so no name can reach another route.
        url.path_segments_mut().expect("checked when the client was made").extend(path);
        self.http.request(method, url).header("x-api-key", self.api_key.clone())
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ClientError> {
    let response = send(request).await?;
    let body = response.bytes().await.map_err(ClientError::Unreachable)?;
    serde_json::from_slice(&body).map_err(ClientError::NotOurs)
}

async fn send(request: RequestBuilder) -> Result<Response, ClientError> {
    let response = request.send().await.map_err(ClientError::Unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.map_err(ClientError::Unreachable)?;
    Err(match serde_json::from_slice(&body) {
        Ok(body) => ClientError::Refused { status: status.as_u16(), body },
        Err(_) => ClientError::Foreign { status: status.as_u16() },
    })
}
