//! Which extra arguments an operator may give to Chromium.
//!
//! An argument can start other programs, open the browser to the network or switch its protection off, so only known
//! harmless ones pass. `--no-sandbox`, `--remote-debugging-*`, `--load-extension`, `--*-cmd-prefix` and the like are refused.

use super::InvalidConfig;

/// Arguments that change what pages see or how names resolve, and nothing about what protects the host.
const ALLOWED: [&str; 19] = [
    "--autoplay-policy",
    "--blink-settings",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-lcd-text",
    "--disk-cache-size",
    "--font-render-hinting",
    "--force-color-profile",
    "--force-device-scale-factor",
    "--force-webrtc-ip-handling-policy",
    "--hide-scrollbars",
    "--host-resolver-rules",
    "--host-rules",
    "--ignore-certificate-errors-spki-list",
    "--lang",
    "--mute-audio",
    "--proxy-bypass-list",
    "--unsafely-treat-insecure-origin-as-secure",
    "--use-fake-device-for-media-stream",
];

/// Longest accepted argument, in bytes.
const MAX_BYTES: usize = 4_096;

/// Refuses every argument that is not on the list.
pub(super) fn check(arguments: &[String]) -> Result<(), InvalidConfig> {
    for argument in arguments {
        let name = argument.split('=').next().unwrap_or_default();
        let is_plain = argument.len() <= MAX_BYTES && !argument.chars().any(char::is_control);
        if !is_plain || !ALLOWED.contains(&name) {
            let why = format!("`{}` is not one of the allowed arguments: {}", name.escape_default(), ALLOWED.join(", "));
            return Err(InvalidConfig::Value { option: "browser-arg", why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_open_the_browser_to_others_is_refused() {
        for (argument, ok) in [
            ("--host-resolver-rules=MAP shop.example.test 127.0.0.1:80", true),
            ("--lang=de", true),
            ("--no-sandbox", false),
            ("--remote-debugging-address=0.0.0.0", false),
            ("--utility-cmd-prefix=/bin/sh", false),
            ("--load-extension=/tmp/x", false),
            ("lang=de", false),
            ("--lang=de\n--no-sandbox", false),
            ("", false),
        ] {
            assert_eq!(check(&[argument.to_owned()]).is_ok(), ok, "{argument:?}");
        }
    }
}
