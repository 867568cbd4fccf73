//! Tables of what is accepted, what is refused, and what beats what.

use super::roles::RoleName;
use super::*;

fn options() -> ServeOptions {
    ServeOptions { data_dir: Some("/data".into()), ..ServeOptions::default() }
}

fn on_postgres() -> ServeOptions {
    ServeOptions { database_url: Some("postgres://user:hunter22@db/keywright".to_owned().into()), ..options() }
}

#[test]
fn defaults_are_safe() {
    let config = Config::load(options()).unwrap();
    assert!(config.listen.ip().is_loopback());
    assert!(!config.ignore_https_errors && config.browser_args.is_empty());
    assert_eq!(config.browser, BrowserChoice::HeadlessShell);
    assert!(config.roles.is_all() && matches!(config.database, DatabaseChoice::Sqlite) && config.warnings().is_empty());
    assert!(matches!(config.blobs, BlobPlace::Folder(path) if path == Path::new("/data/blobs")));
    assert_eq!(config.master_key_file, PathBuf::from("/data/master.key"));
}

#[test]
fn roles_can_be_split_over_one_postgres_and_its_password_does_not_print() {
    let config = Config::load(ServeOptions { roles: Some(vec![RoleName::Worker]), ..on_postgres() }).unwrap();
    assert!(config.roles.is_worker() && !config.roles.is_api());
    assert_eq!(config.database.kind(), "postgres");
    assert!(config.warnings().iter().any(|warning| warning.contains("/data/blobs")), "one folder is not everybody's");
    assert!(!format!("{config:?}{:?}", on_postgres()).contains("hunter22"));
}

#[test]
fn bad_values_are_refused_with_their_option_named() {
    for (change, option) in [
        (ServeOptions { data_dir: None, ..options() }, "data-dir"),
        (ServeOptions { concurrency: Some(0), ..options() }, "concurrency"),
        (ServeOptions { concurrency: Some(257), ..options() }, "concurrency"),
        (ServeOptions { shutdown_grace_s: Some(3_601), ..options() }, "shutdown-grace-s"),
        (ServeOptions { browser_arg: Some(vec!["--no-sandbox".to_owned()]), ..options() }, "browser-arg"),
        (ServeOptions { default_proxy: Some("socks4://x".to_owned().into()), ..options() }, "default-proxy"),
        (ServeOptions { roles: Some(Vec::new()), ..options() }, "roles"),
        (ServeOptions { roles: Some(vec![RoleName::Worker]), ..options() }, "roles"),
        (ServeOptions { roles: Some(vec![RoleName::Api, RoleName::Scheduler]), ..options() }, "roles"),
        (ServeOptions { database_url: Some("mysql://h/d".to_owned().into()), ..options() }, "database-url"),
        (ServeOptions { database_url: Some("nonsense".to_owned().into()), ..options() }, "database-url"),
        (ServeOptions { database_direct_url: Some("postgres://h/d".to_owned().into()), ..options() }, "database-direct-url"),
        (ServeOptions { database_direct_url: Some("h".to_owned().into()), ..on_postgres() }, "database-direct-url"),
        (ServeOptions { blobs: Some("ftp://x".to_owned()), ..options() }, "blobs"),
        (ServeOptions { s3_region: Some("eu-west-1".to_owned()), ..options() }, "s3-region"),
        (ServeOptions { lease_ttl_ms: Some(20_000), ..options() }, "lease-ttl-ms"),
        (ServeOptions { worker_label: Some(vec!["GPU".to_owned()]), ..options() }, "worker-label"),
        (ServeOptions { node_name: Some(String::new()), ..options() }, "node-name"),
        (ServeOptions { keep_runs_days: Some(36_501), ..options() }, "keep-runs-days"),
        (ServeOptions { drain_delay_s: Some(301), ..options() }, "drain-delay-s"),
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
