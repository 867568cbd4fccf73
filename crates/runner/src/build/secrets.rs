//! Takes out of an unpacked project what is secret in its settings: the password of its proxy.
//!
//! An unpacked project lies in the clear and every runner may read it. The server has the settings as they were uploaded,
//! sealed; no runner needs them. What is left says the same without the password; where that cannot be written down for
//! certain, nothing is left. If the process dies here, the build is not complete and begins again from the upload.

use std::io;
use std::path::Path;

use keywright_domain::{ProxySetting, Settings};

/// What stands in the place of the password.
const HIDDEN: &str = "hidden";

/// Rewrites the settings file without the password of the project's proxy, or removes it.
pub(super) fn hide_proxy_password(folder: &Path, file: &str, text: &str, settings: &Settings) -> io::Result<()> {
    let Some(password) = password(settings) else { return Ok(()) };
    let path = folder.join(file);
    match without(file, text, &password) {
        Some(hidden) => std::fs::write(path, hidden),
        None => std::fs::remove_file(path),
    }
}

/// The password as an address spells it.
fn password(settings: &Settings) -> Option<String> {
    match &settings.proxy {
        Some(ProxySetting::Url(proxy)) => {
            let address = proxy.full();
            let (userinfo, _) = address.reveal().split_once("://")?.1.rsplit_once('@')?;
            userinfo.split_once(':').map(|(_, password)| password.to_owned()).filter(|password| !password.is_empty())
        }
        Some(ProxySetting::Auto) | None => None,
    }
}

/// The same settings with another password, if that is all that changed.
fn without(file: &str, text: &str, password: &str) -> Option<String> {
    let hidden = text.replace(&format!(":{password}@"), &format!(":{HIDDEN}@"));
    let settings = Settings::parse(file, hidden.as_bytes()).ok()?;
    (self::password(&settings)? == HIDDEN && !hidden.contains(password)).then_some(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(file: &str, text: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
        let settings = Settings::parse(file, text.as_bytes()).unwrap();
        hide_proxy_password(folder.path(), file, text, &settings).unwrap();
        std::fs::read_to_string(folder.path().join(file)).ok()
    }

    #[test]
    fn the_password_goes_and_the_rest_stays() {
        let json = r#"{"proxy": {"deployed": "http://user:pass-canary@proxy.test:8080"}}"#;
        assert_eq!(left("Intuned.json", json).unwrap(), json.replace("pass-canary", "hidden"));
        for text in ["{}", r#"{"proxy": {"deployed": "http://proxy.test:8080"}}"#] {
            assert_eq!(left("Intuned.json", text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_password_that_is_spelled_in_another_way_or_twice_takes_the_file_with_it() {
        for text in [
            r#"{"proxy": {"deployed": "http://user:pass\u002dcanary@proxy.test:8080"}}"#,
            r#"{"proxy": {"deployed": "http://user:p ss-canary@proxy.test:8080"}}"#,
            "{\"proxy\": {\"deployed\": \"http://user:pass-canary@proxy.test:8080\"}, \"note\": \"pass-canary\"}",
        ] {
            assert_eq!(left("Intuned.json", text), None, "{text}");
        }
    }
}
