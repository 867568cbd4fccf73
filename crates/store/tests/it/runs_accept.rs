//! Facts about accepting runs and operations.

use keywright_domain::{AuthSessionId, Epoch, RunKind, RunState, Secret, SessionKey, TimeoutSeconds, WorkspaceId};
use keywright_store::{Accepted, Idempotency, SessionTarget};
use serde_json::json;

use crate::bench::{Bench, existing, proxy};

pub(crate) async fn a_claim_brings_back_all_that_was_accepted(bench: &Bench) {
    let project = bench.project("shop", 2).await;
    let mut new = bench.runtime_run("ada", false, json!({ "pin": 1 }));
    new.request.proxy = Some(proxy("socks5://proxy.example.test:1080"));
    new.request.is_session_trace_wanted = true;
    new.request.plan.may_recreate = false;
    new.request.plan.budgets.check = keywright_domain::Attempts::new(7).unwrap();
    new.request.session_timeout = TimeoutSeconds::new(11).unwrap();
    new.timeout = TimeoutSeconds::new(12).unwrap();
    new.is_trace_wanted = true;
    new.sink = Some(Secret::new(json!({ "type": "webhook" })));
    let expected = new.clone();
    bench.store.accept_run(&bench.workspace, &project, new).await.unwrap();

    let output = bench.store.find_run(&project, &expected.request.id).await.unwrap().unwrap();
    assert_eq!((output.kind, output.api, output.state), (RunKind::Api, Some(expected.api.clone()), RunState::Pending));
    let accepted_at = output.created_at;
    assert_eq!((output.started_at, output.ended_at), (None, None));

    let record = bench.claim_one().await;
    let request = expected.request;
    assert_eq!(record.id, request.id);
    assert_eq!(
        (record.workspace, record.project, record.project_name.as_str()),
        (bench.workspace.clone(), project.clone(), "shop")
    );
    assert_eq!((record.plan, record.api), (request.plan, Some(expected.api)));
    assert_eq!(record.session.unwrap().id.as_str(), "ada");
    assert_eq!(record.parameters, Some(expected.parameters));
    assert_eq!(record.session_input, request.session_input);
    assert_eq!(record.proxy, request.proxy);
    assert_eq!((record.timeout, record.session_timeout), (expected.timeout, request.session_timeout));
    assert_eq!((record.is_trace_wanted, record.is_session_trace_wanted), (true, true));
    assert_eq!((record.state, record.epoch, record.open_attempt), (RunState::Pending, Epoch::new(1), None));
    assert!(record.candidate.is_none() && record.deployment.is_some());
    assert_eq!(record.created_at, accepted_at);

    let other = bench.project("other", 1).await;
    assert_eq!(bench.store.find_run(&other, &request.id).await.unwrap(), None);
    let started = bench.store.find_run(&project, &request.id).await.unwrap().unwrap().started_at;
    assert!(started.unwrap() > accepted_at);
}

pub(crate) async fn a_repeated_request_is_the_first_one(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    let with_key = |mut new: keywright_store::NewOperation, fingerprint| {
        new.request.idempotency = Some(Idempotency { key: "k1".to_owned(), fingerprint });
        new
    };
    let (run, operation) = bench.accept_operation(&project, with_key(bench.create("ada", json!(1)), [1; 32])).await;
    let repeat = async |new| bench.store.accept_operation(&bench.workspace, &project, new).await.unwrap();
    let repeated = Accepted::Repeated { run: run.clone(), operation: Some(operation) };
    assert_eq!(repeat(with_key(bench.create("ada", json!(1)), [1; 32])).await, repeated);
    assert_eq!(repeat(with_key(bench.create("bob", json!(1)), [2; 32])).await, Accepted::KeyReused);
    assert_eq!(bench.store.find_auth_session(&project, "bob").await.unwrap(), None);

    // The same answer even when the session is gone, and on another kind of request.
    bench.store.delete_auth_session(&project, "ada").await.unwrap();
    assert_eq!(repeat(with_key(bench.validate("ada"), [1; 32])).await, repeated);
    let mut other = bench.api_run(None);
    other.request.idempotency = Some(Idempotency { key: "k1".to_owned(), fingerprint: [3; 32] });
    assert_eq!(bench.store.accept_run(&bench.workspace, &project, other).await.unwrap(), Accepted::KeyReused);
    assert_eq!(bench.claimed_ids().await, [run], "only the first request left anything behind");
}

pub(crate) async fn an_unknown_session_is_refused(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    let mut new = bench.update("ada", json!({}));
    new.request.idempotency = Some(Idempotency { key: "k".to_owned(), fingerprint: [1; 32] });
    let refused = bench.store.accept_operation(&bench.workspace, &project, new.clone()).await.unwrap();
    assert_eq!(refused, Accepted::NoSuchSession);
    let refused = bench.store.accept_run(&bench.workspace, &project, bench.api_run(Some(existing("ada")))).await.unwrap();
    assert_eq!(refused, Accepted::NoSuchSession);
    assert!(bench.claim().await.is_empty());

    // A refusal does not use up its key.
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let accepted = bench.store.accept_operation(&bench.workspace, &project, new).await.unwrap();
    assert!(matches!(accepted, Accepted::New { .. }));
}

pub(crate) async fn a_runtime_input_for_a_stored_login_is_refused(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let new = bench.runtime_run("ada", false, json!({}));
    assert_eq!(bench.store.accept_run(&bench.workspace, &project, new).await.unwrap(), Accepted::NotRuntime);
    assert!(bench.claim().await.is_empty());
}

pub(crate) async fn a_project_of_another_workspace_is_refused(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    let stranger = WorkspaceId::from_entropy([8; 16]);
    assert!(bench.store.accept_run(&stranger, &project, bench.api_run(None)).await.is_err());
    let id = AuthSessionId::parse("ada").unwrap();
    let target = SessionTarget::CreateOrReplace { id, key_if_new: SessionKey::from_entropy(bench.entropy()) };
    let new = bench.operation(RunKind::Create, target, None);
    assert!(bench.store.accept_operation(&stranger, &project, new).await.is_err());
    assert_eq!(bench.store.list_auth_sessions(&project).await.unwrap(), []);
    assert!(bench.claim().await.is_empty());
}
