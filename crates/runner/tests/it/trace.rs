//! Real traces of real logins, cleaned, hold none of what was typed or handed out, and are still traces.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use keywright_domain::Secret;
use keywright_runner::{RawTrace, TraceDropped, clean_trace};
use serde_json::Value;

/// Every encoding in use keeps letters and digits as they are, save base64 and hex, so the middle of the password is what
/// the result is searched for, independently of the code under test.
const CORE: &str = "Kw9canaryKw9canary";
const PASSWORD: &str = "Pé\"s' &<%+Kw9canaryKw9canaryü\\";

/// Every way in which the example site lets somebody sign in.
const KINDS: [&str; 6] = ["form", "json", "multipart", "get", "latin1", "basic"];

/// Traces as a runner leaves them.
struct Recorded {
    folder: tempfile::TempDir,
    /// Every cookie and token that the site handed out meanwhile.
    secrets: Vec<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// playwright-core of the Node runner when that is installed, else one of its own beside the build.
fn playwright() -> PathBuf {
    let installed = repository().join("runners/node/node_modules/playwright-core");
    if installed.is_dir() {
        return installed;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("playwright");
    let installed = folder.join("node_modules/playwright-core");
    if !installed.is_dir() {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("package.json"), r#"{"private":true}"#).expect("a file");
        let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "playwright-core@1.64.1"];
        #[expect(clippy::disallowed_methods, reason = "a test's own preparation")]
        let status = Command::new("npm").args(install).current_dir(&folder).status().expect("npm starts");
        assert!(status.success());
    }
    installed
}

fn record(kinds: &[&str]) -> Recorded {
    let folder = tempfile::tempdir().expect("a folder");
    #[expect(clippy::disallowed_methods, reason = "a test's own preparation")]
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/login_traces.mjs"))
        .args([playwright(), PathBuf::from("/usr/bin/chromium-headless-shell"), repository().join("examples/site/server.mjs")])
        .arg(folder.path())
        .arg(PASSWORD)
        .args(kinds)
        .output()
        .expect("node starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let secrets: Vec<String> = serde_json::from_value(report["secrets"].clone()).expect("a list of texts");
    assert!(secrets.len() >= kinds.len() * 4, "a cookie and three tokens for each login: {}", secrets.len());
    Recorded { folder, secrets }
}

impl Recorded {
    /// A copy to be cleaned, in a folder of its own.
    fn raw(&self, kind: &str, is_login: bool, masked: &[String]) -> (tempfile::TempDir, RawTrace) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("raw.zip");
        std::fs::copy(self.folder.path().join(format!("{kind}.zip")), &path).expect("a trace of that kind");
        (folder, RawTrace { path, is_login, masked: Secret::new(masked.to_vec()) })
    }
}

fn entries(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut found = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.insert(entry.name().to_owned(), content);
    }
    found
}

fn lines(entries: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&entries[name]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The calls of a trace and whether each came to an end.
fn actions(entries: &BTreeMap<String, Vec<u8>>) -> Vec<(String, String)> {
    lines(entries, "trace.trace")
        .iter()
        .filter(|line| matches!(line["type"].as_str(), Some("before" | "after")))
        .map(|line| (line["callId"].to_string(), line["method"].to_string()))
        .collect()
}

fn holds(content: &[u8], needle: &str) -> bool {
    use base64::Engine as _;
    let contains = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
    let hex: String = needle.bytes().map(|byte| format!("{byte:02x}")).collect();
    let in_base64 = (0..3).any(|offset| {
        let padded = [vec![b'.'; offset], needle.as_bytes().to_vec()].concat();
        let digits = base64::engine::general_purpose::STANDARD_NO_PAD.encode(padded);
        contains(&digits.as_bytes()[4..digits.len() - 2])
    });
    contains(needle.as_bytes()) || contains(hex.as_bytes()) || contains(hex.to_uppercase().as_bytes()) || in_base64
}

#[test]
fn a_login_of_any_kind_leaves_nothing_of_its_secrets_known_or_not() {
    let recorded = record(&KINDS);
    for (kind, masked) in KINDS.iter().flat_map(|kind| [(kind, vec![PASSWORD.to_owned()]), (kind, Vec::new())]) {
        let (_folder, trace) = recorded.raw(kind, true, &masked);
        let before = entries(&std::fs::read(&trace.path).unwrap());
        assert!(before.values().any(|content| holds(content, CORE)), "{kind}: the raw trace must hold what is looked for");
        let cookie = recorded.secrets.iter().find(|secret| before.values().any(|content| holds(content, secret)));
        assert!(cookie.is_some(), "{kind}: the raw trace must hold a session");

        let cleaned = clean_trace(&trace).unwrap();
        let after = entries(&cleaned);
        assert!(!trace.path.exists(), "{kind}: the raw file is gone");
        for (name, content) in &after {
            assert!(!holds(content, CORE), "{kind}: the password is in {name}");
            for secret in &recorded.secrets {
                assert!(!holds(content, secret), "{kind}: a cookie or token is in {name}");
            }
        }
        assert_eq!(actions(&after), actions(&before), "{kind}: every call is still there");
        assert!(after.keys().all(|name| !name.starts_with("src/") && !name.starts_with("screencast/")), "{kind}");
        assert!(lines(&after, "trace.network").len() >= 4, "{kind}: the requests are still listed");
        let snapshots = |entries| lines(entries, "trace.trace").iter().filter(|line| line["type"] == "frame-snapshot").count();
        assert_eq!(snapshots(&after), snapshots(&before), "{kind}");
    }
}

#[test]
fn what_was_aimed_at_is_still_there() {
    let (_folder, trace) = record(&["form"]).raw("form", true, &[PASSWORD.to_owned()]);
    let after = entries(&clean_trace(&trace).unwrap());
    let calls = lines(&after, "trace.trace");
    let fill = calls.iter().find(|line| line["method"] == "fill" && line["params"]["selector"] == "#password").unwrap();
    assert_eq!(fill["params"]["value"], "***");
    assert!(calls.iter().any(|line| line["message"] == "  fill(\"***\")"));
    let network = lines(&after, "trace.network");
    let post = network.iter().find(|line| line["snapshot"]["request"]["method"] == "POST").unwrap();
    assert!(post["snapshot"]["request"].get("postData").is_none());
    assert_eq!(post["snapshot"]["response"]["status"], 303);
}

#[test]
fn a_cleaned_login_opens_in_the_trace_viewer() {
    let (folder, trace) = record(&["form"]).raw("form", true, &[PASSWORD.to_owned()]);
    let cleaned = folder.path().join("cleaned.zip");
    std::fs::write(&cleaned, clean_trace(&trace).unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's own preparation")]
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/trace_viewer.mjs"))
        .args([playwright(), PathBuf::from("/usr/bin/chromium-headless-shell"), cleaned])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let titles: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    for part in ["Navigate", "Fill \"***\"", "Click"] {
        assert!(titles.iter().any(|title| title.contains(part)), "{part}: {titles:?}");
    }
}

#[test]
fn a_trace_of_work_keeps_its_pictures_and_sources_and_loses_known_secrets() {
    let recorded = record(&["form"]);
    let masked = [&[PASSWORD.to_owned()], recorded.secrets.as_slice()].concat();
    let (_folder, trace) = recorded.raw("form", false, &masked);
    let before = entries(&std::fs::read(&trace.path).unwrap());
    let after = entries(&clean_trace(&trace).unwrap());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert_eq!(actions(&after), actions(&before));
    for (name, content) in &after {
        assert!(!holds(content, CORE), "{name}");
        assert!(recorded.secrets.iter().all(|secret| !holds(content, secret)), "{name}");
    }
    for exchange in lines(&after, "trace.network") {
        for side in ["request", "response"] {
            assert_eq!(exchange["snapshot"][side]["cookies"], serde_json::json!([]));
        }
    }
}

#[test]
fn a_secret_that_cannot_be_taken_out_drops_the_trace_and_names_the_place() {
    // The name of a member that every event has: without it this would be no trace any more.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.zip");
    std::fs::write(&path, zip_of(&[("trace.trace", br#"{"type":"before","callId":"1","startTime":7}"#)])).unwrap();
    let trace = RawTrace { path, is_login: false, masked: Secret::new(vec!["startTime".to_owned()]) };
    let error = clean_trace(&trace).unwrap_err();
    assert!(matches!(&error, TraceDropped::SecretLeft { entry } if entry == "trace.trace"), "{error}");
    assert!(!error.to_string().contains("startTime"));
    assert!(!trace.path.exists());
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut written = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        written.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        written.write_all(content).unwrap();
    }
    written.finish().unwrap().into_inner()
}

#[test]
fn what_is_no_trace_or_too_large_is_refused_and_deleted() {
    let endless_line = vec![b' '; 33 * 1024 * 1024];
    let large_resource = vec![0; 65 * 1024 * 1024];
    let mut large_directory = zip_of(&[("trace.trace", b"{}")]);
    let end = large_directory.len() - 22;
    large_directory[end + 12..end + 16].copy_from_slice(&u32::MAX.to_le_bytes());
    let cases: [(&str, Vec<u8>, bool); 7] = [
        ("empty", Vec::new(), false),
        ("no zip", b"PK\x03\x04 and nothing more".to_vec(), false),
        ("no lines of JSON", zip_of(&[("trace.trace", b"{\"type\":\n")]), false),
        ("a bottomless page", zip_of(&[("trace.trace", "[".repeat(100_000).as_bytes())]), true),
        ("an endless line", zip_of(&[("trace.trace", &endless_line)]), true),
        ("a large resource", zip_of(&[("resources/x.bin", &large_resource)]), true),
        ("a large directory", large_directory, true),
    ];
    for (name, bytes, is_too_large) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw.zip");
        std::fs::write(&path, bytes).unwrap();
        let trace = RawTrace { path: path.clone(), is_login: false, masked: Secret::new(Vec::new()) };
        let error = clean_trace(&trace).unwrap_err();
        assert_eq!(matches!(error, TraceDropped::TooLarge(_)), is_too_large, "{name}: {error}");
        assert!(!path.exists(), "{name}");
    }
}

#[test]
fn entries_that_playwright_does_not_write_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.zip");
    std::fs::write(
        &path,
        zip_of(&[
            ("../up.trace", b"{}"),
            ("notes.txt", b"x"),
            ("resources/../../x", b"x"),
            ("trace.trace", b"{\"type\":\"log\"}"),
        ]),
    )
    .unwrap();
    let cleaned = clean_trace(&RawTrace { path, is_login: false, masked: Secret::new(Vec::new()) }).unwrap();
    assert_eq!(entries(&cleaned).into_keys().collect::<Vec<_>>(), ["trace.trace"]);
}

#[test]
fn a_link_in_place_of_the_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (target, path) = (folder.path().join("target"), folder.path().join("raw.zip"));
    std::fs::write(&target, zip_of(&[("trace.trace", b"{\"type\":\"log\"}")])).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let error = clean_trace(&RawTrace { path, is_login: false, masked: Secret::new(Vec::new()) }).unwrap_err();
    assert!(matches!(error, TraceDropped::Read(_)));
    assert!(target.exists());
}
