//! Where a run's result is to be sent, as the contract shapes it. Read so that a wrong shape is told from one that is right
//! but not served yet.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::scalar::present;

/// Where to send the result.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Sink {
    /// A POST of JSON.
    Webhook(WebhookSink),
    /// An object in a bucket.
    S3(S3Sink),
}

/// A POST of JSON.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSink {
    /// Where to.
    pub url: String,
    /// Added to each delivery.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub headers: Option<BTreeMap<String, String>>,
    /// Whether failed runs are left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = false)]
    pub skip_on_fail: Option<bool>,
    /// Only runs of these APIs; all when absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub apis_to_send: Option<Vec<String>>,
}

/// An object in a bucket.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Sink {
    /// The bucket.
    pub bucket: String,
    /// Who writes.
    pub access_key_id: String,
    /// The proof of it.
    pub secret_access_key: String,
    /// The bucket's region.
    pub region: String,
    /// Put before each object's key.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub prefix: Option<String>,
    /// Whether failed runs are left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = false)]
    pub skip_on_fail: Option<bool>,
    /// Only runs of these APIs; all when absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub apis_to_send: Option<Vec<String>>,
    /// Another service that speaks S3.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub endpoint: Option<String>,
    /// Whether the bucket is named in the path.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub force_path_style: Option<bool>,
}
