//! Where blobs are: in a folder, or in S3 (or what speaks its protocol), which several nodes can share.
//!
//! The credentials of S3 come from the usual variables of the environment and from nowhere else: not from the command line,
//! where others can see them, and not from a metadata service.

use std::path::{Path, PathBuf};

use keywright_domain::Secret;
use keywright_store::S3Options;
use url::{Host, Url};

use super::{InvalidConfig, bad};

/// The region that requests to a server other than Amazon's are signed for; it rarely looks.
const DEFAULT_REGION: &str = "us-east-1";

/// What `s3://` addresses begin with.
const SCHEME: &str = "s3://";

/// A place for blobs.
#[derive(Clone, Debug)]
pub(crate) enum BlobPlace {
    /// This machine's.
    Folder(PathBuf),
    /// Everybody's.
    S3(S3Options),
}

/// The options about S3 as they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct S3Written {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) path_style: Option<bool>,
    pub(super) allow_http: Option<bool>,
}

/// What the environment says about Amazon's services.
#[derive(Clone, Debug, Default)]
pub(super) struct AwsEnvironment {
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<Secret<String>>,
    pub(super) session_token: Option<Secret<String>>,
    pub(super) region: Option<String>,
}

impl AwsEnvironment {
    /// Reads it, here and nowhere else.
    pub(super) fn read() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the binary's configuration is where the environment is read")]
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            access_key_id: read("AWS_ACCESS_KEY_ID"),
            secret_access_key: read("AWS_SECRET_ACCESS_KEY").map(Secret::new),
            session_token: read("AWS_SESSION_TOKEN").map(Secret::new),
            region: read("AWS_REGION").or_else(|| read("AWS_DEFAULT_REGION")),
        }
    }
}

impl BlobPlace {
    /// Reads `blobs` and what belongs to it.
    ///
    /// # Errors
    /// See [`InvalidConfig`].
    pub(super) fn parse(
        blobs: Option<&str>,
        data_dir: &Path,
        s3: S3Written,
        environment: AwsEnvironment,
    ) -> Result<Self, InvalidConfig> {
        let blobs = blobs.filter(|text| !text.is_empty());
        match blobs.map(|text| (text, text.strip_prefix(SCHEME))) {
            Some((_, Some(address))) => s3_options(address, s3, environment).map(Self::S3),
            Some((text, None)) if text.contains("://") => {
                Err(bad("blobs", "is neither a folder nor an address like s3://bucket/prefix"))
            }
            folder => {
                for (option, is_given) in [
                    ("s3-endpoint", s3.endpoint.is_some()),
                    ("s3-region", s3.region.is_some()),
                    ("s3-path-style", s3.path_style.is_some()),
                    ("s3-allow-http", s3.allow_http.is_some()),
                ] {
                    if is_given {
                        return Err(bad(option, "means nothing unless `blobs` is an address like s3://bucket/prefix"));
                    }
                }
                Ok(Self::Folder(folder.map_or_else(|| data_dir.join("blobs"), |(text, _)| PathBuf::from(text))))
            }
        }
    }
}

fn s3_options(address: &str, written: S3Written, environment: AwsEnvironment) -> Result<S3Options, InvalidConfig> {
    let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
    let prefix = prefix.trim_matches('/');
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c));
    if !is_bucket {
        return Err(bad("blobs", "names no bucket: 3 to 63 of a-z, 0-9, `-` and `.` after s3://"));
    }
    let part_ok = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
    };
    if !prefix.is_empty() && !prefix.split('/').all(part_ok) {
        return Err(bad("blobs", "has a prefix with something else than letters, digits, `-`, `_`, `.` and single slashes"));
    }
    let may_be_plain_http = written.endpoint.as_deref().map(|text| endpoint(text, written.allow_http)).transpose()?;
    let region = written.region.or(environment.region).or_else(|| written.endpoint.as_ref().map(|_| DEFAULT_REGION.to_owned()));
    let missing = |name: &str| bad("blobs", format!("is in S3, but the environment has no {name}"));
    Ok(S3Options {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region: region.ok_or_else(|| bad("s3-region", "is missing, and the environment has no AWS_REGION either"))?,
        is_path_style: written.path_style.unwrap_or(written.endpoint.is_some()),
        may_be_plain_http: may_be_plain_http.unwrap_or(false),
        endpoint: written.endpoint.map(|text| text.trim_end_matches('/').to_owned()),
        access_key_id: environment.access_key_id.ok_or_else(|| missing("AWS_ACCESS_KEY_ID"))?,
        secret_access_key: environment.secret_access_key.ok_or_else(|| missing("AWS_SECRET_ACCESS_KEY"))?,
        session_token: environment.session_token,
    })
}

/// Whether the endpoint is plain HTTP, and may be: what is stored is sealed, but who stores it is not.
fn endpoint(text: &str, allow_http: Option<bool>) -> Result<bool, InvalidConfig> {
    let url = Url::parse(text).map_err(|_| bad("s3-endpoint", "is not a URL"))?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
    if !is_bare || url.fragment().is_some() {
        return Err(bad("s3-endpoint", "must be http:// or https://, a host and perhaps a port, and nothing else"));
    }
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(false),
        "http" if is_loopback || allow_http.unwrap_or(false) => Ok(true),
        "http" => Err(bad("s3-endpoint", "is plain http:// to another machine; use https://, or give `s3-allow-http`")),
        _ => Err(bad("s3-endpoint", "must begin with http:// or https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> AwsEnvironment {
        AwsEnvironment {
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some(Secret::new("hunter22".to_owned())),
            session_token: None,
            region: None,
        }
    }

    fn at(endpoint: &str) -> S3Written {
        S3Written { endpoint: Some(endpoint.to_owned()), ..S3Written::default() }
    }

    fn parse(blobs: &str, s3: S3Written, environment: AwsEnvironment) -> Result<BlobPlace, &'static str> {
        BlobPlace::parse(Some(blobs), Path::new("/data"), s3, environment).map_err(|error| match error {
            InvalidConfig::Value { option, why } => {
                assert!(!why.contains("hunter22"));
                option
            }
            other => panic!("{other}"),
        })
    }

    #[test]
    fn a_folder_is_the_default_and_can_be_another() {
        let place = BlobPlace::parse(None, Path::new("/data"), S3Written::default(), AwsEnvironment::default()).unwrap();
        assert!(matches!(place, BlobPlace::Folder(path) if path == Path::new("/data/blobs")));
        let place = parse("/mnt/blobs", S3Written::default(), AwsEnvironment::default()).unwrap();
        assert!(matches!(place, BlobPlace::Folder(path) if path == Path::new("/mnt/blobs")));
    }

    #[test]
    fn an_s3_address_is_read_with_what_belongs_to_it() {
        let BlobPlace::S3(options) = parse("s3://bucket/a/b/", at("http://127.0.0.1:9000/"), environment()).unwrap() else {
            panic!("not S3")
        };
        assert_eq!((options.bucket.as_str(), options.prefix.as_str()), ("bucket", "a/b"));
        assert_eq!((options.region.as_str(), options.endpoint.as_deref()), ("us-east-1", Some("http://127.0.0.1:9000")));
        assert!(options.is_path_style && options.may_be_plain_http);
        let amazon = AwsEnvironment { region: Some("eu-west-1".to_owned()), ..environment() };
        let BlobPlace::S3(options) = parse("s3://bucket", S3Written::default(), amazon).unwrap() else { panic!("not S3") };
        assert!(!options.is_path_style && !options.may_be_plain_http && options.prefix.is_empty());
        assert_eq!((options.region.as_str(), options.endpoint), ("eu-west-1", None));
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        let region = || S3Written { region: Some("eu-west-1".to_owned()), ..S3Written::default() };
        let no_secret = AwsEnvironment { secret_access_key: None, ..environment() };
        for (blobs, s3, environment, option) in [
            ("ftp://bucket", S3Written::default(), environment(), "blobs"),
            ("s3://", region(), environment(), "blobs"),
            ("s3://UPPER", region(), environment(), "blobs"),
            ("s3://bucket/a//b", region(), environment(), "blobs"),
            ("s3://bucket/../b", region(), environment(), "blobs"),
            ("s3://bucket", region(), no_secret, "blobs"),
            ("s3://bucket", S3Written::default(), environment(), "s3-region"),
            ("s3://bucket", at("http://10.0.0.1:9000"), environment(), "s3-endpoint"),
            ("s3://bucket", at("https://u:hunter22@host"), environment(), "s3-endpoint"),
            ("s3://bucket", at("https://host/path"), environment(), "s3-endpoint"),
            ("s3://bucket", at("ftp://host"), environment(), "s3-endpoint"),
            ("/folder", at("https://host"), environment(), "s3-endpoint"),
            ("/folder", region(), environment(), "s3-region"),
        ] {
            assert_eq!(parse(blobs, s3, environment).unwrap_err(), option, "{blobs}");
        }
        let allowed = S3Written { allow_http: Some(true), ..at("http://10.0.0.1:9000") };
        assert!(parse("s3://bucket", allowed, environment()).is_ok());
    }
}
