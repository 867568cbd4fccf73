//! Tables of what is accepted, what is refused, and what beats what.

use super::*;

fn options() -> ServeOptions {
    ServeOptions { data_dir: Some("/data".into()), ..ServeOptions::default() }
}

#[test]
fn defaults_are_safe() {
    let config = Config::load(options()).unwrap();
    assert!(config.listen.ip().is_loopback());
    assert!(!config.ignore_https_errors && config.browser_args.is_empty());
    assert_eq!(config.browser, BrowserChoice::HeadlessShell);
}

#[test]
fn bad_values_are_refused_with_their_option_named() {
    for (change, option) in [
        (ServeOptions { data_dir: None, ..options() }, "data-dir"),
        (ServeOptions { concurrency: Some(0), ..options() }, "concurrency"),
        (ServeOptions { concurrency: Some(257), ..options() }, "concurrency"),
        (ServeOptions { shutdown_grace_s: Some(3_601), ..options() }, "shutdown-grace-s"),
        (ServeOptions { browser_arg: Some(vec!["--no-sandbox".to_owned()]), ..options() }, "browser-arg"),
        (ServeOptions { default_proxy: Some("socks4://x".to_owned()), ..options() }, "default-proxy"),
        (ServeOptions { base_url: Some("ftp://x".to_owned()), ..options() }, "base-url"),
    ] {
        let InvalidConfig::Value { option: named, .. } = Config::load(change).unwrap_err() else { panic!("{option}") };
        assert_eq!(named, option);
    }
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.toml");
    std::fs::write(&path, "data-dir = \"/from-file\"\nconcurrency = 7\nbrowser-arg = [\"--lang=de\"]\nlog-format = \"json\"\n")
        .unwrap();
    let flags = ServeOptions { config: Some(path), concurrency: Some(3), ..ServeOptions::default() };
    let config = Config::load(flags).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/from-file"));
    assert_eq!((config.concurrency, config.log_format), (3, LogFormat::Json));
    assert_eq!(config.browser_args, ["--lang=de"]);
}

#[test]
fn a_file_with_an_unknown_member_is_refused_without_quoting_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.toml");
    std::fs::write(&path, "data-dir = \"/d\"\ndefault-proxi = \"http://u:hunter22@proxy:1\"\n").unwrap();
    let error = Config::load(ServeOptions { config: Some(path), ..ServeOptions::default() }).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("line 2") && text.contains("default-proxi") && !text.contains("hunter22"), "{text}");
    let missing = ServeOptions { config: Some(folder.path().join("nowhere.toml")), ..ServeOptions::default() };
    assert!(matches!(Config::load(missing).unwrap_err(), InvalidConfig::Unreadable { .. }));
}

#[test]
fn a_browser_that_is_not_there_is_refused_when_it_is_the_default_or_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("browser");
    std::fs::write(&there, "").unwrap();
    let nowhere = folder.path().join("nowhere");
    for (shell, chromium, browser, refused) in [
        (Some(&there), None, None, None),
        (Some(&nowhere), None, None, Some("headless-shell-path")),
        (Some(&there), Some(&nowhere), None, Some("chromium-path")),
        (None, Some(&there), Some(BrowserName::Chromium), None),
        (None, Some(&nowhere), Some(BrowserName::Chromium), Some("chromium-path")),
    ] {
        let config = Config::load(ServeOptions {
            headless_shell_path: shell.cloned(),
            chromium_path: chromium.cloned(),
            browser,
            ..options()
        });
        let answer = config.unwrap().require_browser();
        let named = answer.err().map(|error| match error {
            InvalidConfig::Value { option, .. } => option,
            other => panic!("{other}"),
        });
        assert_eq!(named, refused, "{shell:?} {chromium:?} {browser:?}");
    }
}
