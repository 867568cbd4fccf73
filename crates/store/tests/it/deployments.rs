//! Facts about deployments.

use keywright_domain::{DeploymentId, DeploymentStatus, Problem, RunReason, RunState};
use keywright_store::CommitOutcome;
use serde_json::json;

use crate::bench::{Bench, built, returned};

pub(crate) async fn an_upload_waits_for_its_build(bench: &Bench) {
    let first = bench.store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    let second = bench.store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    assert_eq!(first.project, second.project);
    assert_eq!((first.status, first.is_active, &first.built), (DeploymentStatus::Building, false, &None));
    assert_eq!((first.project_name.as_str(), first.size_bytes, first.finished_at), ("shop", 1_234, None));
    assert_eq!(bench.store.list_building().await.unwrap(), [first.clone(), second]);
    assert_eq!(bench.store.get_deployment(&first.id).await.unwrap(), Some(first.clone()));
    let unknown = DeploymentId::from_entropy(bench.entropy());
    assert_eq!(bench.store.get_deployment(&unknown).await.unwrap(), None);
}

pub(crate) async fn a_finished_build_is_active(bench: &Bench) {
    let mut expected = built(&json!({ "timezone": "Europe/Berlin" }));
    expected.warnings = vec![Problem { file: "package.json".to_owned(), line: Some(3), message: "left out".to_owned() }];
    expected.python = Some("venv/bin/python".to_owned());
    let (id, project) = bench.deploy("shop", expected.clone()).await;
    let other = bench.project("other", 1).await;

    let found = bench.store.find_deployment(&project, &id).await.unwrap().unwrap();
    assert_eq!((found.status, found.is_active), (DeploymentStatus::Ready, true));
    assert_eq!(found.settings().unwrap().timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(found.built, Some(expected));
    assert!(found.finished_at.is_some());
    assert_eq!(bench.store.find_deployment(&other, &id).await.unwrap(), None);
    assert_eq!(bench.store.list_building().await.unwrap(), []);
}

pub(crate) async fn a_refused_build_leaves_the_active_one(bench: &Bench) {
    let (good, project) = bench.deploy("shop", built(&json!({}))).await;
    let bad = bench.store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    let problems = vec![Problem { file: "api/orders.ts".to_owned(), line: None, message: "does not load".to_owned() }];
    bench.store.refuse_build(&bad.id, problems.clone(), bench.now()).await.unwrap();

    let bad = bench.store.get_deployment(&bad.id).await.unwrap().unwrap();
    assert_eq!((bad.status, bad.problems, bad.built), (DeploymentStatus::Failed, problems, None));
    assert!(bench.store.find_deployment(&project, &good).await.unwrap().unwrap().is_active);
}

pub(crate) async fn a_build_ends_once(bench: &Bench) {
    let (id, _) = bench.deploy("shop", built(&json!({}))).await;
    assert!(bench.store.refuse_build(&id, Vec::new(), bench.now()).await.is_err());
    assert!(bench.store.finish_build(&id, built(&json!({ "timezone": "UTC" })), bench.now()).await.is_err());
    let found = bench.store.get_deployment(&id).await.unwrap().unwrap();
    assert_eq!((found.status, found.built), (DeploymentStatus::Ready, Some(built(&json!({})))));
    let unknown = DeploymentId::from_entropy(bench.entropy());
    assert!(bench.store.finish_build(&unknown, built(&json!({})), bench.now()).await.is_err());
}

pub(crate) async fn an_older_upload_never_replaces_a_later_one(bench: &Bench) {
    let older = bench.store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    let (later, project) = bench.deploy("shop", built(&json!({}))).await;
    bench.store.finish_build(&older.id, built(&json!({})), bench.now()).await.unwrap();
    assert!(bench.store.find_deployment(&project, &later).await.unwrap().unwrap().is_active);
    let older = bench.store.find_deployment(&project, &older.id).await.unwrap().unwrap();
    assert_eq!((older.status, older.is_active), (DeploymentStatus::Ready, false));
}

pub(crate) async fn a_ready_deployment_can_be_activated_again(bench: &Bench) {
    let (first, project) = bench.deploy("shop", built(&json!({ "replication": { "maxConcurrentRequests": 1 } }))).await;
    let (second, _) = bench.deploy("shop", built(&json!({ "replication": { "maxConcurrentRequests": 2 } }))).await;
    let other = bench.project("other", 1).await;
    let failed = bench.store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    bench.store.refuse_build(&failed.id, Vec::new(), bench.now()).await.unwrap();

    assert_eq!(bench.store.activate_deployment(&other, &first, bench.now()).await.unwrap(), None);
    assert_eq!(bench.store.activate_deployment(&project, &failed.id, bench.now()).await.unwrap(), None);
    let active = bench.store.activate_deployment(&project, &first, bench.now()).await.unwrap().unwrap();
    assert!(active.is_active);
    assert!(!bench.store.get_deployment(&second).await.unwrap().unwrap().is_active);

    // Its concurrency is in force again.
    bench.accept_run(&project, bench.api_run(None)).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    assert_eq!(bench.claim_one().await.deployment, Some(first));
}

pub(crate) async fn switching_access_off_cancels_api_runs(bench: &Bench) {
    let project = bench.project("shop", 2).await;
    let elsewhere = bench.project("other", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let running = bench.take().await;
    let (transition, close) = bench.attempted(&running, &returned(json!(1))).await;
    let waiting = bench.accept_run(&project, bench.api_run(None)).await;
    let untouched = bench.accept_run(&elsewhere, bench.api_run(None)).await;
    let (login, _) = bench.accept_operation(&project, bench.create("ada", json!({}))).await;

    bench.deploy("shop", built(&json!({ "apiAccess": { "enabled": false } }))).await;
    for id in [&running.id, &waiting] {
        let output = bench.store.find_run(&project, id).await.unwrap().unwrap();
        assert_eq!(output.state, RunState::Canceled(RunReason::ApiAccessDisabled));
    }
    let late = bench.commit(&running, transition, Some(close), Some(returned(json!(1))));
    assert_eq!(bench.store.commit_run(late).await.unwrap(), CommitOutcome::Stale);
    assert_eq!(bench.store.find_run(&elsewhere, &untouched).await.unwrap().unwrap().state, RunState::Pending);
    assert_eq!(bench.store.find_run(&project, &login).await.unwrap().unwrap().state, RunState::Pending);
}

pub(crate) async fn deployments_are_listed_newest_first(bench: &Bench) {
    let (first, project) = bench.deploy("shop", built(&json!({}))).await;
    let (second, _) = bench.deploy("shop", built(&json!({}))).await;
    let (third, _) = bench.deploy("shop", built(&json!({}))).await;
    bench.project("other", 1).await;
    let ids = |found: Vec<keywright_store::Deployment>| found.into_iter().map(|found| found.id).collect::<Vec<_>>();
    assert_eq!(ids(bench.store.list_deployments(&project, 2).await.unwrap()), [third.clone(), second.clone()]);
    assert_eq!(ids(bench.store.list_deployments(&project, 10).await.unwrap()), [third, second, first]);
}
