//! Blobs in an S3 bucket, or in whatever speaks its protocol.
//!
//! Requests that fail are repeated a few times within a bounded time, which is safe: a key is never reused, so the same bytes
//! go to the same place. Credentials are given, never looked for: no file and no metadata service is asked.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::Secret;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

/// How long a connection may take.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long one request may take, its whole body included: the largest archive at a mebibyte a second.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(60);

/// How often a request is repeated.
const MAX_RETRIES: usize = 3;

/// After this long a failed request is not repeated any more.
const MAX_RETRY_TIME: Duration = Duration::from_secs(20);

/// The first pause before a repetition; each is twice as long as the one before, at most [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause before a repetition.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Where the bucket is and how it is opened.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with, without slashes at the ends; empty for the whole bucket.
    pub prefix: String,
    /// The region that requests are signed for.
    pub region: String,
    /// `http://` or `https://` and a host, when the bucket is not Amazon's own.
    pub endpoint: Option<String>,
    /// Whether the bucket is named in the path (as most other servers want it) and not in the host.
    pub is_path_style: bool,
    /// Whether the endpoint may be plain HTTP.
    pub may_be_plain_http: bool,
    /// Who we are.
    pub access_key_id: String,
    /// The proof of it.
    pub secret_access_key: Secret<String>,
    /// Comes with credentials that end after a while.
    pub session_token: Option<Secret<String>>,
}

#[cfg(test)]
impl S3Options {
    pub(super) fn of_test(endpoint: &str) -> Self {
        Self {
            bucket: "bucket".to_owned(),
            prefix: "a/b".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            is_path_style: true,
            may_be_plain_http: true,
            access_key_id: "id".to_owned(),
            secret_access_key: Secret::new("the-secret-key".to_owned()),
            session_token: None,
        }
    }
}

/// The store behind these options.
pub(super) fn connect(options: &S3Options) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let bucket = open(options)?;
    Ok(if options.prefix.is_empty() { Arc::new(bucket) } else { Arc::new(PrefixStore::new(bucket, options.prefix.as_str())) })
}

fn open(options: &S3Options) -> Result<AmazonS3, object_store::Error> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_virtual_hosted_style_request(!options.is_path_style)
        .with_access_key_id(&options.access_key_id)
        .with_secret_access_key(options.secret_access_key.reveal())
        .with_client_options(
            ClientOptions::new()
                .with_connect_timeout(MAX_CONNECT_TIME)
                .with_timeout(MAX_REQUEST_TIME)
                .with_allow_http(options.may_be_plain_http),
        )
        .with_retry(RetryConfig {
            backoff: BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: MAX_PAUSE, base: 2.0 },
            max_retries: MAX_RETRIES,
            retry_timeout: MAX_RETRY_TIME,
        });
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.reveal());
    }
    if let Some(endpoint) = &options.endpoint {
        builder =
            builder.with_endpoint(if options.is_path_style { endpoint.clone() } else { hosting(endpoint, &options.bucket) });
    }
    builder.build()
}

/// The endpoint with the bucket in its host.
fn hosting(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_named_in_the_host_where_it_is_wanted_there() {
        assert_eq!(hosting("https://s3.example.com:9000", "b"), "https://b.s3.example.com:9000");
    }

    #[test]
    fn options_never_print_their_secrets() {
        let options = S3Options { session_token: Some(Secret::new("the-token".to_owned())), ..S3Options::of_test("http://h") };
        let text = format!("{options:?}");
        assert!(!text.contains("the-secret-key") && !text.contains("the-token"), "{text}");
    }
}
