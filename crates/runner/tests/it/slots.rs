//! The pool with a runner that misbehaves in every way the protocol allows and some it does not: what is said about the
//! attempt, and that nothing of it is left.

use std::collections::HashSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use keywright_domain::{
    ApiName, AttemptEnd, AttemptFailure, AttemptId, AttemptNumber, AttemptOrder, AuthSessionId, BrowserChoice, DeploymentId,
    Entry, FileId, Isolation, Language, ProjectId, ProjectName, RunId, Secret, SessionBinding, SessionKey, Stage, StoredFileLink,
    TimeoutSeconds, Viewport, WorkspaceId,
};
use keywright_runner::{
    AttemptHost, AttemptReport, BrowserConfig, HostError, Manifest, Pool, PoolConfig, RuntimePaths, SandboxPolicy,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "lovelace-1815";

/// A pool on a folder of its own.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) pool: Pool,
}

impl World {
    /// With the misbehaving runner as its Python; its Node does not even start.
    async fn misbehaving(concurrency: usize) -> Self {
        let folder = misbehaving_runtime();
        let runtime = folder.path().join("runtime");
        Self::new(folder, &runtime, concurrency, SandboxPolicy::WhereAllowed).await
    }

    pub(crate) async fn new(folder: TempDir, runtime: &Path, concurrency: usize, sandbox: SandboxPolicy) -> Self {
        let pool = Pool::open(config(folder.path(), runtime, concurrency, sandbox)).await.unwrap();
        Self { folder, pool }
    }

    pub(crate) fn slots(&self) -> PathBuf {
        self.folder.path().join("data/slots")
    }

    /// A deployment that exists and has no files but its manifest.
    pub(crate) fn deployment(&self, number: u8, language: Language) -> DeploymentId {
        let id = DeploymentId::from_entropy([number; 21]);
        let folder = self.folder.path().join("data/deployments").join(id.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        Manifest { language, python: None, playwright_root: None, has_hook: false }.write(&folder).unwrap();
        id
    }

    async fn execute(&self, order: AttemptOrder) -> AttemptReport {
        self.pool.execute(order, Arc::new(Host::default()), CancellationToken::new()).await
    }

    /// Closes the pool and looks whether anything is left.
    pub(crate) async fn end(self) {
        self.pool.close().await;
        let slots = self.slots();
        assert_eq!(processes_of(&slots), Vec::<String>::new());
        let left: Vec<_> = std::fs::read_dir(&slots).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn misbehaving_runtime() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("runtime/python/src");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::create_dir_all(folder.path().join("runtime/python/.venv/bin")).unwrap();
    std::fs::write(source.join("keywright_runner.py"), include_str!("misbehaving_runner.py")).unwrap();
    symlink("/usr/bin/python3", folder.path().join("runtime/python/.venv/bin/python")).unwrap();
    folder
}

fn config(folder: &Path, runtime: &Path, concurrency: usize, sandbox: SandboxPolicy) -> PoolConfig {
    // Runners are another user.
    for readable in [folder, runtime] {
        if readable.starts_with(std::env::temp_dir()) {
            std::fs::set_permissions(readable, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let data = folder.join("data");
    PoolConfig {
        runtime: RuntimePaths::at(runtime),
        deployments: data.join("deployments"),
        slots: data.join("slots"),
        traces: data.join("traces"),
        concurrency,
        browser: BrowserConfig {
            headless_shell: "/usr/bin/chromium-headless-shell".into(),
            chromium: "/usr/bin/chromium".into(),
            args: Vec::new(),
            ignore_https_errors: false,
        },
        sandbox,
    }
}

/// The command lines of processes that belong to a slot below `slots`.
pub(crate) fn processes_of(slots: &Path) -> Vec<String> {
    let marker = format!("KEYWRIGHT_SLOT_DIR={}/", slots.canonicalize().unwrap().display());
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let process = entry.ok()?.path();
            let environment = std::fs::read(process.join("environ")).ok()?;
            environment.split(|byte| *byte == 0).find(|variable| variable.starts_with(marker.as_bytes()))?;
            Some(String::from_utf8_lossy(&std::fs::read(process.join("cmdline")).ok()?).replace('\0', " "))
        })
        .collect()
}

/// An order for `deployment`, for the session with this number or for none.
pub(crate) fn order(deployment: &DeploymentId, language: Language, session: Option<u8>, parameters: Value) -> AttemptOrder {
    AttemptOrder {
        attempt: AttemptId { run: RunId::from_entropy([session.unwrap_or(255); 21]), number: AttemptNumber::new(1).unwrap() },
        stage: Stage::Api,
        workspace: WorkspaceId::from_entropy([1; 16]),
        project: ProjectId::from_entropy([1; 21]),
        project_name: ProjectName::parse("shop").unwrap(),
        deployment: deployment.clone(),
        language,
        session: session.map(|number| SessionBinding {
            key: SessionKey::from_entropy([number; 21]),
            id: AuthSessionId::parse(&format!("session-{number}")).unwrap(),
        }),
        entry: Entry::Api(ApiName::parse("orders").unwrap()),
        parameters: Some(Secret::new(parameters)),
        state: None,
        auth_parameters: None,
        masked: Secret::new(vec![SECRET.to_owned()]),
        browser: BrowserChoice::HeadlessShell,
        isolation: Isolation::Session,
        viewport: Viewport::default(),
        timezone: None,
        locale: None,
        proxy: None,
        is_trace_wanted: false,
        timeout: TimeoutSeconds::new(20).unwrap(),
    }
}

fn doing(world: &World, session: u8, what: &str) -> AttemptOrder {
    order(&world.deployment(1, Language::Python), Language::Python, Some(session), json!({"do": what, "secret": SECRET}))
}

/// A platform that remembers what it was asked for.
#[derive(Default)]
pub(crate) struct Host {
    stored: Mutex<Vec<(String, Value)>>,
    user_code_runs: Notify,
}

#[async_trait]
impl AttemptHost for Host {
    async fn get_value(&self, key: &str) -> Result<Option<Value>, HostError> {
        match key {
            "user code runs" => {
                self.user_code_runs.notify_one();
                Ok(None)
            }
            "known" => Ok(Some(json!({"n": 1}))),
            "broken" => Err(HostError::Unavailable("the disk at /secret/place is full".into())),
            "forbidden" => Err(HostError::Refused { code: "too-many-keys", message: "a project has at most 10 keys".to_owned() }),
            _ => Ok(None),
        }
    }

    async fn set_value(&self, key: &str, value: Value) -> Result<(), HostError> {
        self.stored.lock().unwrap().push((key.to_owned(), value));
        Ok(())
    }

    async fn store_file(&self, name: &str, content_type: Option<&str>, bytes: Bytes) -> Result<StoredFileLink, HostError> {
        Ok(StoredFileLink {
            id: FileId::from_entropy([0; 21]),
            read_url: format!("http://here/{name}|{content_type:?}|{}", String::from_utf8_lossy(&bytes)),
        })
    }
}

fn returned(report: &AttemptReport) -> &Value {
    match &report.end {
        AttemptEnd::Returned { result, .. } => result,
        other => panic!("{other:?}\n{}", String::from_utf8_lossy(&report.log)),
    }
}

fn failure(report: &AttemptReport) -> &AttemptFailure {
    match &report.end {
        AttemptEnd::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_runner_does_its_attempt_ends_as_the_table_says_and_nothing_is_left() {
    let world = Arc::new(World::misbehaving(6).await);
    let rows: &[(&str, u32, &str, &str)] = &[
        // What it does, seconds it has, `code counted` or `returned`, a part of the message.
        ("well", 20, "returned", ""),
        ("throw", 20, "script-execution-exception counted", "Error: the password *** is wrong"),
        ("hang", 1, "script-timeout counted", "did not finish within 1 s"),
        ("ignore-term", 1, "script-timeout counted", "within 1 s"),
        ("obey-abort", 1, "script-timeout counted", "within 1 s"),
        ("late-success", 1, "script-timeout counted", "within 1 s"),
        ("extend", 1, "returned", ""),
        ("grandchild", 20, "returned", ""),
        ("leak-pipe", 20, "script-process-crashed counted", "exited with code 3"),
        ("flood-stdout", 60, "returned", ""),
        ("flood-logs", 60, "returned", ""),
        ("half-frame", 20, "script-process-crashed counted", "exited with code 0"),
        ("huge-frame", 20, "script-no-valid-output-received counted", "over 16777216 bytes"),
        ("bad-json", 20, "script-no-valid-output-received counted", "not a message"),
        ("not-utf8", 20, "script-no-valid-output-received counted", "not a message"),
        ("wrong-type", 20, "script-no-valid-output-received counted", "unknown message type \"dance\""),
        ("wrong-field", 20, "script-no-valid-output-received counted", "a done message is malformed"),
        ("foreign", 20, "script-no-valid-output-received counted", "about another attempt"),
        ("running-twice", 20, "script-no-valid-output-received counted", "a second time"),
        ("done-twice", 20, "returned", ""),
        ("not-reusable", 20, "returned", ""),
        ("exit-0", 20, "script-process-crashed counted", "exited with code 0"),
        ("exit-3", 20, "script-process-crashed counted", "exited with code 3"),
        ("kill-self", 20, "script-process-crashed counted", "SIGKILL"),
        ("close-link", 20, "script-process-crashed counted", "closed its connection"),
        ("too-big", 20, "result-too-big-error counted", "over 2097152 bytes"),
        ("too-deep", 20, "script-no-valid-output-received counted", "deeper than 100 levels"),
        ("nan", 20, "script-no-valid-output-received counted", "not a message"),
        ("no-result", 20, "script-no-valid-output-received counted", "it has no result"),
        ("before-slot-failed", 20, "internal-server-error free", "no context"),
        ("before-exit", 20, "internal-server-error free", "exited with code 1"),
        ("before-done", 20, "internal-server-error free", "before user code began"),
    ];
    let mut attempts = JoinSet::new();
    for (session, (what, seconds, expected, part)) in (0_u8..).zip(rows) {
        let (world, mut order) = (Arc::clone(&world), doing(&world, session, what));
        order.timeout = TimeoutSeconds::new(i64::from(*seconds)).unwrap();
        attempts.spawn(async move {
            let report = world.execute(order).await;
            let (told, message) = match &report.end {
                AttemptEnd::Returned { .. } => ("returned".to_owned(), String::new()),
                AttemptEnd::Failed(failure) => {
                    let counted = if failure.is_counted { "counted" } else { "free" };
                    (format!("{} {counted}", failure.code.as_str()), failure.message.clone())
                }
                other => (format!("{other:?}"), String::new()),
            };
            let log = String::from_utf8(report.log.to_vec()).unwrap();
            assert!(told == *expected && message.contains(part), "{what}: {told}: {message}\n{}", &log[..log.len().min(2_000)]);
            assert!(!log.contains(SECRET) && !message.contains(SECRET), "{what}");
            if *what == "flood-logs" {
                assert!(log.len() <= 10 * 1024 * 1024 && log.contains("was not kept"), "{}", log.len());
            }
            log.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap()));
        });
    }
    while let Some(attempt) = attempts.join_next().await {
        attempt.unwrap();
    }
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_serves_its_own_pair_again_and_nobody_else() {
    let world = World::misbehaving(3).await;
    let slot_of = |report: &AttemptReport| returned(report)["folder"].as_str().unwrap().to_owned();
    let first = slot_of(&world.execute(doing(&world, 1, "well")).await);
    assert_eq!(slot_of(&world.execute(doing(&world, 1, "well")).await), first);
    let other_session = slot_of(&world.execute(doing(&world, 2, "well")).await);
    assert_ne!(other_session, first);
    let mut other_deployment = doing(&world, 1, "well");
    other_deployment.deployment = world.deployment(2, Language::Python);
    assert_ne!(slot_of(&world.execute(other_deployment).await), first);
    assert_eq!(slot_of(&world.execute(doing(&world, 1, "well")).await), first);
    // An attempt that wants to be alone gets a slot nobody had, and nobody gets it afterwards.
    let mut alone = doing(&world, 1, "well");
    alone.isolation = Isolation::Attempt;
    let alone_1 = slot_of(&world.execute(alone.clone()).await);
    let alone_2 = slot_of(&world.execute(alone).await);
    assert!(alone_1 != first && alone_2 != alone_1);
    // Any doubt ends it.
    for doubt in ["not-reusable", "done-twice"] {
        let before = slot_of(&world.execute(doing(&world, 3, "well")).await);
        returned(&world.execute(doing(&world, 3, doubt)).await);
        assert_ne!(slot_of(&world.execute(doing(&world, 3, "well")).await), before, "{doubt}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_room_for_one_slot_everybody_gets_a_turn() {
    let world = Arc::new(World::misbehaving(1).await);
    let mut attempts = JoinSet::new();
    for session in 0..4 {
        let (world, order) = (Arc::clone(&world), doing(&world, session, "well"));
        attempts.spawn(async move { returned(&world.execute(order).await)["pid"].as_i64().unwrap() });
    }
    assert_eq!(attempts.join_all().await.len(), 4);
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_attempt_is_over_and_its_processes_are_gone_when_execute_returns() {
    let world = World::misbehaving(2).await;
    for what in ["hang", "ignore-term", "obey-abort"] {
        let (order, cancel) = (doing(&world, 1, what), CancellationToken::new());
        let host = Arc::new(Host::default());
        let attempt = world.pool.execute(order, Arc::clone(&host) as Arc<dyn AttemptHost>, cancel.clone());
        let (report, began) = tokio::join!(attempt, async {
            host.user_code_runs.notified().await;
            cancel.cancel();
            Instant::now()
        });
        assert_eq!(report.end, AttemptEnd::Aborted, "{what}");
        // The promise is 10 s; the machine may be busy.
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {:?}", began.elapsed());
    }
    let never = CancellationToken::new();
    never.cancel();
    let report = world.pool.execute(doing(&world, 1, "well"), Arc::new(Host::default()), never).await;
    assert_eq!(report.end, AttemptEnd::Aborted);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_pool_loses_its_attempts_and_says_so() {
    let world = World::misbehaving(2).await;
    let host = Arc::new(Host::default());
    let attempt = doing(&world, 1, "ignore-term");
    let attempt = world.pool.execute(attempt, Arc::clone(&host) as Arc<dyn AttemptHost>, CancellationToken::new());
    let (report, ()) = tokio::join!(attempt, async {
        host.user_code_runs.notified().await;
        world.pool.close().await;
    });
    assert_eq!(failure(&report).code.as_str(), "internal-server-error");
    assert!(failure(&report).message.contains("the worker was stopped"), "{}", failure(&report).message);
    let late = world.execute(doing(&world, 1, "well")).await;
    assert!(!failure(&late).is_counted);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn user_code_may_ask_for_values_and_files_and_gets_no_more_than_that() {
    let world = World::misbehaving(1).await;
    std::fs::write(world.folder.path().join("data/secret"), "secret").unwrap();
    let host = Arc::new(Host::default());
    for (parameters, expected) in [
        (json!({"method": "kv.get", "params": {"key": "known"}}), json!({"found": true, "value": {"n": 1}})),
        (json!({"method": "kv.get", "params": {"key": "unknown"}}), json!({"found": false})),
        (json!({"method": "kv.get", "params": {"key": "broken"}}), json!("unavailable: the platform could not answer")),
        (json!({"method": "kv.get", "params": {"key": "forbidden"}}), json!("too-many-keys: a project has at most 10 keys")),
        (json!({"method": "kv.get", "params": {"key": ""}}), json!("invalid-call: a key is 1 to 1024 bytes long")),
        (json!({"method": "kv.get", "params": []}), json!("invalid-call: the parameters of kv.get are not right")),
        (json!({"method": "kv.set", "params": {"key": "a", "value": null}}), json!({})),
        (json!({"method": "sql", "params": {}}), json!("invalid-call: there is no method \"sql\"")),
        (
            json!({"method": "file.store", "write": {"f.txt": "hello"},
                "params": {"path": "f.txt", "fileName": "f.txt", "contentType": "text/plain"}}),
            json!({"id": "_____________________", "readUrl": "http://here/f.txt|Some(\"text/plain\")|hello"}),
        ),
        (
            json!({"method": "file.store", "params": {"path": "../../secret", "fileName": "f"}}),
            json!("invalid-call: f cannot be read"),
        ),
        (
            json!({"method": "file.store", "params": {"path": "/etc/passwd", "fileName": "f"}}),
            json!("invalid-call: f cannot be read"),
        ),
        (
            json!({"method": "file.store", "link": {"l": "/etc/passwd"}, "params": {"path": "l", "fileName": "f"}}),
            json!("invalid-call: f cannot be read"),
        ),
        (
            json!({"method": "file.store", "params": {"path": "f.txt", "fileName": "../f"}}),
            json!("invalid-call: a file name has no"),
        ),
    ] {
        let mut order = doing(&world, 1, "call");
        let mut all = parameters.clone();
        all["do"] = json!("call");
        order.parameters = Some(Secret::new(all));
        let report = world.pool.execute(order, Arc::clone(&host) as Arc<dyn AttemptHost>, CancellationToken::new()).await;
        let reply = &returned(&report)["is"];
        match expected {
            Value::String(refusal) => {
                let told =
                    format!("{}: {}", reply["error"]["code"].as_str().unwrap(), reply["error"]["message"].as_str().unwrap());
                assert!(told.starts_with(&refusal) && reply["ok"] == json!(false), "{parameters}: {told}");
            }
            value => assert_eq!((&reply["ok"], &reply["value"]), (&json!(true), &value), "{parameters}"),
        }
    }
    assert_eq!(*host.stored.lock().unwrap(), [("a".to_owned(), Value::Null)]);
    let mut many = doing(&world, 1, "many-calls");
    many.parameters = Some(Secret::new(json!({"do": "many-calls", "count": 500})));
    assert_eq!(returned(&world.execute(many).await)["is"], json!(500));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_payloads_come_with_the_result_and_too_many_fail_the_attempt() {
    let world = World::misbehaving(1).await;
    let mut some = doing(&world, 1, "payloads");
    some.parameters = Some(Secret::new(json!({"do": "payloads", "frames": 3, "each": 100})));
    let report = world.execute(some.clone()).await;
    assert!(
        matches!(&report.end, AttemptEnd::Returned { payloads, .. } if payloads.len() == 300 && payloads[299].api == "orders")
    );
    some.parameters = Some(Secret::new(json!({"do": "payloads", "frames": 11, "each": 10_000})));
    let report = world.execute(some).await;
    let failure = failure(&report);
    assert!(failure.message.contains("100000") && !failure.is_retryable, "{failure:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn user_code_sees_its_own_folder_and_not_the_server() {
    let world = World::misbehaving(1).await;
    let secret = world.folder.path().join("data/master.key");
    std::fs::write(&secret, "key").unwrap();
    let mut look = doing(&world, 1, "look-around");
    look.parameters =
        Some(Secret::new(json!({"do": "look-around", "paths": [secret, "/etc/shadow", "/root", "/etc/ssl/certs"]})));
    let report = world.execute(look).await;
    let seen = &returned(&report)["is"];
    assert_eq!(
        seen["variables"],
        json!(
            [
                "HOME",
                "KEYWRIGHT_SHARED",
                "KEYWRIGHT_SLOT_DIR",
                "LANG",
                "LC_CTYPE",
                "PATH",
                "PLAYWRIGHT_NODEJS_PATH",
                "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD",
                "PWD",
                "PYTHONPATH",
                "PYTHONUNBUFFERED",
                "TMPDIR"
            ]
            .iter()
            .filter(|name| !matches!(**name, "LC_CTYPE" | "PWD") || seen["variables"].as_array().unwrap().contains(&json!(name)))
            .collect::<Vec<_>>()
        )
    );
    let protections = world.pool.protections();
    if protections.is_runner_sandboxed {
        assert_eq!(seen["reads"], json!(["/etc/ssl/certs"]));
        assert!(seen["processes"].as_i64().unwrap() <= 3, "{seen}");
    }
    assert_eq!(protections.is_unprivileged, seen["uid"] != json!(0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_with_packages_of_its_own_gets_its_own_interpreter_and_finds_ours_last() {
    let world = World::misbehaving(1).await;
    let base_site = world.folder.path().join("runtime/python/.venv/lib/python3/site-packages");
    std::fs::create_dir_all(&base_site).unwrap();
    let deployment = world.deployment(9, Language::Python);
    let root = world.folder.path().join("data/deployments").join(deployment.as_str());
    let own = PathBuf::from(".keywright/venv/bin/python");
    std::fs::create_dir_all(root.join(&own).parent().unwrap()).unwrap();
    symlink("/usr/bin/python3", root.join(&own)).unwrap();
    Manifest { language: Language::Python, python: Some(own), playwright_root: None, has_hook: false }.write(&root).unwrap();
    world.pool.warm(&deployment, BrowserChoice::HeadlessShell).await;
    let report =
        world.execute(order(&deployment, Language::Python, None, json!({"do": "look-around", "paths": [base_site]}))).await;
    let seen = &returned(&report)["is"];
    assert!(seen["variables"].as_array().unwrap().contains(&json!("KEYWRIGHT_BASE_SITE")), "{seen}");
    assert_eq!(seen["reads"], json!([base_site]));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_whose_build_is_not_complete_is_not_run() {
    let world = World::misbehaving(1).await;
    let report = world.execute(order(&DeploymentId::from_entropy([77; 21]), Language::Python, None, json!({"do": "well"}))).await;
    let failure = failure(&report);
    assert!(!failure.is_counted && failure.message.contains("manifest.json"), "{failure:?}");
    world.end().await;
}

#[tokio::test]
async fn a_runner_that_hangs_before_hello_is_given_up_after_the_start_timeout() {
    let folder = misbehaving_runtime();
    let runtime = folder.path().join("runtime");
    std::fs::write(runtime.join("python/src/hang-before-hello"), "").unwrap();
    let world = World::new(folder, &runtime, 1, SandboxPolicy::WhereAllowed).await;
    let slots = world.slots();
    let mut attempt = Box::pin(world.execute(doing(&world, 1, "well")));
    let mut seen = HashSet::new();
    let report = loop {
        tokio::select! {
            report = &mut attempt => break report,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        let entries = std::fs::read_dir(&slots).unwrap().map(|entry| entry.unwrap().path());
        for slot in entries.filter(|slot| slot.join("hanging").exists()) {
            if seen.insert(slot) {
                // The minute passes at once.
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(61)).await;
                tokio::time::resume();
            }
        }
    };
    drop(attempt);
    let failure = failure(&report);
    assert!(failure.message.contains("not ready within 60 s") && !failure.is_counted, "{failure:?}");
    assert_eq!(failure.code.as_str(), "internal-server-error");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_life_is_ended_and_wiped_before_anything_else() {
    let world = World::misbehaving(1).await;
    let (slots, traces) = (world.slots(), world.folder.path().join("data/traces"));
    std::fs::create_dir_all(slots.join("s77/deep")).unwrap();
    std::fs::write(traces.join("old.zip"), "raw").unwrap();
    returned(&world.execute(doing(&world, 1, "grandchild")).await);
    assert!(!processes_of(&slots).is_empty());
    // A second pool on the same folder is what a server sees that comes after one that was killed.
    let runtime = world.folder.path().join("runtime");
    let later = Pool::open(config(world.folder.path(), &runtime, 1, SandboxPolicy::WhereAllowed)).await.unwrap();
    assert!(!slots.join("s77").exists() && !traces.join("old.zip").exists());
    later.close().await;
    world.end().await;
}

#[tokio::test]
async fn a_required_sandbox_is_had_or_the_pool_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    match Pool::open(config(folder.path(), &runtime, 1, SandboxPolicy::Required)).await {
        Ok(pool) => {
            let protections = pool.protections();
            assert!(protections.is_runner_sandboxed && protections.is_browser_sandboxed && protections.is_unprivileged);
            pool.close().await;
        }
        Err(error) => assert!(error.to_string().contains("which was required"), "{error}"),
    }
}
