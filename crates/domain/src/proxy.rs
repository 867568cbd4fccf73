//! A proxy address, parsed once. Its password never prints.
//!
//! Accepts `http`, `https` and `socks5`; `intuned://auto` is a name for the operator's default and is resolved before a
//! run is accepted. Refuses everything else, `socks4` and scripts included.

use thiserror::Error;
use url::Url;

use crate::Secret;

/// Longest accepted address, in bytes. No real one comes near it.
const MAX_BYTES: usize = 2_048;

/// Why an address cannot be used as a proxy.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidProxy {
    /// Not a URL at all, or far too long.
    #[error("is not a URL")]
    NotAUrl,
    /// A scheme that Chromium cannot speak to a proxy.
    #[error("must start with http://, https:// or socks5://")]
    Scheme,
    /// No host to connect to.
    #[error("names no host")]
    Host,
    /// Something after the address, which a proxy has no use for.
    #[error("must not have a path, query or fragment")]
    Trailing,
    /// Chromium cannot log in to a SOCKS proxy.
    #[error("cannot carry a user name and password for socks5, which the browser does not support")]
    SocksCredentials,
}

/// Where the browser's traffic goes. `Debug` shows the host, never the credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Secret<Url>);

impl ProxyUrl {
    /// The platform's name for "the operator's own default proxy".
    pub const AUTO: &'static str = "intuned://auto";

    /// Reads an address.
    ///
    /// # Errors
    /// When the browser could not use it.
    pub fn parse(text: &str) -> Result<Self, InvalidProxy> {
        if text.len() > MAX_BYTES || text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(InvalidProxy::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| InvalidProxy::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https" | "socks5") {
            return Err(InvalidProxy::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(InvalidProxy::Host);
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidProxy::Trailing);
        }
        if url.scheme() == "socks5" && (!url.username().is_empty() || url.password().is_some()) {
            return Err(InvalidProxy::SocksCredentials);
        }
        Ok(Self(Secret::new(url)))
    }

    /// `scheme://host:port`, without credentials: what the browser is given as its server.
    #[must_use]
    pub fn server(&self) -> String {
        let url = self.0.reveal();
        let port = url.port_or_known_default().unwrap_or(1080);
        format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
    }

    /// The user name and password, percent-decoded, when there are any.
    #[must_use]
    pub fn credentials(&self) -> Option<(String, Secret<String>)> {
        let url = self.0.reveal();
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        Some((percent_decode(url.username()), Secret::new(percent_decode(url.password().unwrap_or_default()))))
    }

    /// The whole address, credentials included, for storing it encrypted.
    #[must_use]
    pub fn full(&self) -> Secret<String> {
        Secret::new(self.0.reveal().as_str().to_owned())
    }
}

impl std::fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProxyUrl({})", self.server())
    }
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_split_off_and_decoded() {
        let proxy = ProxyUrl::parse("http://ada:p%40ss@proxy.example.test:8080").unwrap();
        assert_eq!(proxy.server(), "http://proxy.example.test:8080");
        let (user, password) = proxy.credentials().unwrap();
        assert_eq!((user.as_str(), password.reveal().as_str()), ("ada", "p@ss"));
        assert!(!format!("{proxy:?}").contains("ss@"));
    }

    #[test]
    fn what_a_browser_cannot_use_is_refused() {
        for (text, why) in [
            ("", InvalidProxy::NotAUrl),
            ("proxy:8080", InvalidProxy::Scheme),
            ("socks4://h:1", InvalidProxy::Scheme),
            ("pac+http://h/x", InvalidProxy::Scheme),
            ("http://h:8080/path", InvalidProxy::Trailing),
            ("socks5://u:p@h:1080", InvalidProxy::SocksCredentials),
            ("http://h:80\r\nx", InvalidProxy::NotAUrl),
        ] {
            assert_eq!(ProxyUrl::parse(text).unwrap_err(), why, "{text}");
        }
    }
}
