//! Tables: what each stage is called with, and whose proxy it uses.

use keywright_domain::{
    ApiName, Attempts, AuthSessionId, Budgets, DeploymentStatus, Epoch, Language, ProjectId, ProjectName, RunId, RunPlan,
    RunState, SessionBinding, SessionKey, TimeoutSeconds, Timestamp, WorkspaceId,
};
use keywright_store::BuiltDeployment;
use serde_json::json;

use super::*;

fn run(kind: RunKind) -> RunRecord {
    RunRecord {
        id: RunId::from_entropy([1; 21]),
        workspace: WorkspaceId::from_entropy([1; 16]),
        project: ProjectId::from_entropy([1; 21]),
        project_name: ProjectName::parse("shop").unwrap(),
        deployment: Some(DeploymentId::from_entropy([1; 21])),
        plan: RunPlan {
            kind,
            budgets: Budgets { create: Attempts::DEFAULT, check: Attempts::DEFAULT, api: Attempts::DEFAULT },
            may_recreate: true,
            needs_session: true,
        },
        api: (kind == RunKind::Api).then(|| ApiName::parse("orders").unwrap()),
        session: Some(SessionBinding { key: SessionKey::from_entropy([1; 21]), id: AuthSessionId::parse("ada").unwrap() }),
        parameters: (kind == RunKind::Api).then(|| Secret::new(json!({"page": 1}))),
        session_input: matches!(kind, RunKind::Create | RunKind::Update)
            .then(|| Secret::new(json!({"password": "new-password"}))),
        proxy: None,
        timeout: TimeoutSeconds::new(60).unwrap(),
        session_timeout: TimeoutSeconds::new(30).unwrap(),
        is_trace_wanted: true,
        is_session_trace_wanted: false,
        state: RunState::Pending,
        epoch: Epoch::new(1),
        candidate: Some(Secret::new(json!({"cookies": [{"value": "candidate-cookie"}]}))),
        open_attempt: None,
        created_at: Timestamp::from_micros(0),
    }
}

fn deployment(settings: &str) -> Deployment {
    Deployment {
        id: DeploymentId::from_entropy([1; 21]),
        workspace: WorkspaceId::from_entropy([1; 16]),
        project: ProjectId::from_entropy([1; 21]),
        project_name: ProjectName::parse("shop").unwrap(),
        status: DeploymentStatus::Ready,
        is_active: true,
        built: Some(BuiltDeployment {
            language: Language::Node,
            settings_file: "Intuned.json".to_owned(),
            settings_text: settings.to_owned(),
            apis: vec![ApiName::parse("orders").unwrap()],
            python: None,
            playwright_root: None,
            warnings: Vec::new(),
        }),
        problems: Vec::new(),
        digest: String::new(),
        size_bytes: 0,
        created_at: Timestamp::from_micros(0),
        finished_at: None,
    }
}

fn secrets(kind: SessionKind) -> SessionSecrets {
    SessionSecrets {
        kind,
        parameters: (kind == SessionKind::Credentials).then(|| Secret::new(json!({"password": "old-password"}))),
        state: Some(Secret::new(json!({"cookies": [{"value": "session-cookie"}]}))),
        proxy: None,
    }
}

fn defaults() -> Defaults {
    Defaults { proxy: None, browser: BrowserChoice::HeadlessShell }
}

fn order(run: &RunRecord, secrets: Option<&SessionSecrets>, settings: &str, stage: Stage) -> Result<AttemptOrder, OrderError> {
    let (deployment, defaults) = (deployment(settings), defaults());
    Material { run, deployment: Some(&deployment), secrets, defaults: &defaults }.order(stage, AttemptNumber::new(1).unwrap())
}

fn shown(value: Option<&Secret<Value>>) -> String {
    value.map_or("-".to_owned(), |value| value.reveal().to_string())
}

#[test]
fn each_stage_is_called_with_its_own_parameters_and_state() {
    let (old, new) = (r#"{"password":"old-password"}"#, r#"{"password":"new-password"}"#);
    let (of_session, of_candidate) =
        (r#"{"cookies":[{"value":"session-cookie"}]}"#, r#"{"cookies":[{"value":"candidate-cookie"}]}"#);
    let secrets = secrets(SessionKind::Credentials);
    for (kind, stage, entry, parameters, state, auth, seconds) in [
        (RunKind::Create, Stage::Create, "auth-sessions/create", new, "-", new, 30),
        (RunKind::Update, Stage::PostCheck, "auth-sessions/check", "-", of_candidate, new, 30),
        (RunKind::Validate, Stage::Check, "auth-sessions/check", "-", of_session, old, 30),
        (RunKind::Validate, Stage::Create, "auth-sessions/create", old, "-", old, 30),
        (RunKind::Api, Stage::Create, "auth-sessions/create", old, "-", old, 30),
        (RunKind::Api, Stage::Api, "api/orders", r#"{"page":1}"#, of_session, old, 60),
    ] {
        let order = order(&run(kind), Some(&secrets), "{}", stage).unwrap();
        let is = (
            order.entry.path(),
            shown(order.parameters.as_ref()),
            shown(order.state.as_ref()),
            shown(order.auth_parameters.as_ref()),
        );
        assert_eq!(is, (entry.to_owned(), parameters.to_owned(), state.to_owned(), auth.to_owned()), "{kind:?} {stage:?}");
        assert_eq!((order.timeout.get(), order.is_trace_wanted), (seconds, stage == Stage::Api), "{kind:?} {stage:?}");
    }
}

#[test]
fn a_runtime_input_is_told_to_create_alone() {
    let secrets = secrets(SessionKind::Runtime);
    let run = RunRecord { session_input: Some(Secret::new(json!({"password": "brought-along"}))), ..run(RunKind::Api) };
    for (stage, parameters) in
        [(Stage::Create, r#"{"password":"brought-along"}"#), (Stage::Check, "-"), (Stage::Api, r#"{"page":1}"#)]
    {
        let order = order(&run, Some(&secrets), "{}", stage).unwrap();
        assert_eq!(shown(order.parameters.as_ref()), parameters);
        assert_eq!(shown(order.auth_parameters.as_ref()), "-");
        assert!(order.masked.reveal().contains(&"brought-along".to_owned()));
    }
}

#[test]
fn the_sessions_own_proxy_wins_and_a_login_uses_the_one_it_brings() {
    let project = r#"{"proxy": {"deployed": "http://project.example.test:1"}}"#;
    for (kind, of_session, of_run, settings, used) in [
        (RunKind::Api, true, true, project, "http://session.example.test:1"),
        (RunKind::Api, false, true, project, "http://run.example.test:1"),
        (RunKind::Api, false, false, project, "http://project.example.test:1"),
        (RunKind::Api, false, false, "{}", "-"),
        (RunKind::Validate, true, true, project, "http://session.example.test:1"),
        (RunKind::Update, true, true, project, "http://run.example.test:1"),
        (RunKind::Update, true, false, project, "http://session.example.test:1"),
        (RunKind::Create, true, true, project, "http://run.example.test:1"),
        (RunKind::Create, true, false, project, "http://project.example.test:1"),
    ] {
        let proxy = |is_set: bool, text| is_set.then(|| ProxyUrl::parse(text).unwrap());
        let run = RunRecord { proxy: proxy(of_run, "http://run.example.test:1"), ..run(kind) };
        let secrets =
            SessionSecrets { proxy: proxy(of_session, "http://session.example.test:1"), ..secrets(SessionKind::Credentials) };
        let order = order(&run, Some(&secrets), settings, Stage::Create).unwrap();
        assert_eq!(order.proxy.map_or("-".to_owned(), |proxy| proxy.server()), used, "{kind:?}");
    }
}

#[test]
fn auto_is_the_operators_proxy_and_never_a_direct_connection() {
    let (run, deployment) = (run(RunKind::Api), deployment(r#"{"proxy": {"deployed": "intuned://auto"}}"#));
    let secrets = secrets(SessionKind::Credentials);
    let made = |defaults: &Defaults| {
        Material { run: &run, deployment: Some(&deployment), secrets: Some(&secrets), defaults }
            .order(Stage::Api, AttemptNumber::new(1).unwrap())
    };
    assert_eq!(made(&defaults()).unwrap_err(), OrderError::DefaultProxy);
    let own = Defaults { proxy: Some(ProxyUrl::parse("http://operator.example.test:1").unwrap()), ..defaults() };
    assert_eq!(made(&own).unwrap().proxy.unwrap().server(), "http://operator.example.test:1");
}

#[test]
fn the_projects_settings_shape_the_page() {
    let settings = r#"{"browser": "chromium", "isolation": "attempt", "timezone": "Europe/Berlin", "locale": "de-DE",
        "browserSize": {"width": 800, "height": 600}}"#;
    let run = RunRecord { plan: RunPlan { needs_session: false, ..run(RunKind::Api).plan }, session: None, ..run(RunKind::Api) };
    let order = order(&run, None, settings, Stage::Api).unwrap();
    assert_eq!((order.browser, order.isolation), (BrowserChoice::Chromium, keywright_domain::Isolation::Attempt));
    assert_eq!((order.timezone.as_deref(), order.locale.as_deref()), (Some("Europe/Berlin"), Some("de-DE")));
    assert_eq!((order.viewport.width, order.viewport.height), (800, 600));
    assert!(order.state.is_none() && order.session.is_none() && order.auth_parameters.is_none());
}

#[test]
fn what_is_missing_is_named() {
    let without_state = SessionSecrets { state: None, ..secrets(SessionKind::Credentials) };
    let without_input = SessionSecrets { parameters: None, ..secrets(SessionKind::Credentials) };
    let without_candidate = RunRecord { candidate: None, ..run(RunKind::Create) };
    assert_eq!(order(&run(RunKind::Api), Some(&without_state), "{}", Stage::Check).unwrap_err(), OrderError::State);
    assert_eq!(order(&run(RunKind::Api), Some(&without_input), "{}", Stage::Create).unwrap_err(), OrderError::Input);
    assert_eq!(order(&run(RunKind::Api), None, "{}", Stage::Api).unwrap_err(), OrderError::Session);
    assert_eq!(order(&without_candidate, Some(&without_state), "{}", Stage::PostCheck).unwrap_err(), OrderError::State);
    let unbuilt = Deployment { built: None, ..deployment("{}") };
    let material = Material { run: &run(RunKind::Api), deployment: Some(&unbuilt), secrets: None, defaults: &defaults() };
    assert_eq!(material.order(Stage::Api, AttemptNumber::new(1).unwrap()).unwrap_err(), OrderError::Deployment);
}
