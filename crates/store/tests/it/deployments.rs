//! Facts about deployments.

use keywright_domain::{DeploymentId, DeploymentStatus, Problem, RunReason, RunState};
use keywright_store::{BuildEnd, CommitOutcome, NewWorker};
use serde_json::json;

use crate::bench::{Bench, built, labels, returned};

pub(crate) async fn an_upload_waits_for_its_build(bench: &Bench) {
    let first = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let second = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    assert_eq!(first.project, second.project);
    assert_eq!((first.status, first.is_active, &first.built), (DeploymentStatus::Building, false, &None));
    assert_eq!((first.project_name.as_str(), first.size_bytes, first.finished_at), ("shop", 1_234, None));
    assert_eq!(bench.store.get_deployment(&first.id).await.unwrap(), Some(first.clone()));
    let unknown = DeploymentId::from_entropy(bench.entropy());
    assert_eq!(bench.store.get_deployment(&unknown).await.unwrap(), None);
    assert_eq!(bench.store.claim_build(&bench.worker()).await.unwrap(), Some(first), "the oldest first");
    let other = bench.join(bench.new_worker()).await;
    assert_eq!(bench.store.claim_build(&other).await.unwrap(), Some(second));
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
    assert_eq!(bench.store.claim_build(&bench.worker()).await.unwrap(), None, "it is built");
}

pub(crate) async fn a_refused_build_leaves_the_active_one(bench: &Bench) {
    let (good, project) = bench.deploy("shop", built(&json!({}))).await;
    let bad = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let problems = vec![Problem { file: "api/orders.ts".to_owned(), line: None, message: "does not load".to_owned() }];
    let builder = bench.builder_of(&bad.id).await;
    assert_eq!(bench.store.refuse_build(&builder, &bad.id, problems.clone()).await.unwrap(), BuildEnd::Stored);

    let bad = bench.store.get_deployment(&bad.id).await.unwrap().unwrap();
    assert_eq!((bad.status, bad.problems, bad.built), (DeploymentStatus::Failed, problems, None));
    assert!(bench.store.find_deployment(&project, &good).await.unwrap().unwrap().is_active);
}

pub(crate) async fn a_build_ends_once(bench: &Bench) {
    let (id, _) = bench.deploy("shop", built(&json!({}))).await;
    let worker = bench.worker();
    let unknown = DeploymentId::from_entropy(bench.entropy());
    assert_eq!(bench.store.refuse_build(&worker, &id, Vec::new()).await.unwrap(), BuildEnd::Stale);
    for id in [&id, &unknown] {
        let other = built(&json!({ "timezone": "UTC" }));
        assert_eq!(bench.store.finish_build(&worker, id, other).await.unwrap(), BuildEnd::Stale);
    }
    let found = bench.store.get_deployment(&id).await.unwrap().unwrap();
    assert_eq!((found.status, found.built), (DeploymentStatus::Ready, Some(built(&json!({})))));
}

pub(crate) async fn a_build_has_one_builder(bench: &Bench) {
    let upload = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let (one, two) = (bench.worker(), bench.join(bench.new_worker()).await);
    let claim = async |worker| bench.store.claim_build(worker).await.unwrap().map(|taken| taken.id);
    assert_eq!(claim(&one).await, Some(upload.id.clone()));
    assert_eq!(claim(&two).await, None);
    assert_eq!(claim(&one).await, Some(upload.id.clone()), "whoever has it is told so again");
    assert_eq!(bench.store.finish_build(&two, &upload.id, built(&json!({}))).await.unwrap(), BuildEnd::Stale);
    bench.store.release_build(&two, &upload.id).await.unwrap();
    assert_eq!(claim(&two).await, None, "nobody hands back what is another's");

    bench.store.release_build(&one, &upload.id).await.unwrap();
    assert_eq!(claim(&two).await, Some(upload.id.clone()));
    assert_eq!(bench.store.finish_build(&one, &upload.id, built(&json!({}))).await.unwrap(), BuildEnd::Stale);
    assert_eq!(bench.store.refuse_build(&one, &upload.id, Vec::new()).await.unwrap(), BuildEnd::Stale);
    assert_eq!(bench.store.get_deployment(&upload.id).await.unwrap().unwrap().status, DeploymentStatus::Building);
    assert_eq!(bench.store.finish_build(&two, &upload.id, built(&json!({}))).await.unwrap(), BuildEnd::Stored);
}

pub(crate) async fn a_build_of_a_lost_worker_waits_again(bench: &Bench) {
    let upload = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let lost = bench.builder_of(&upload.id).await;
    assert_eq!(bench.next_life().await.builds, 1);
    assert_eq!(bench.store.claim_build(&lost).await.unwrap(), None, "who was given up gets nothing");
    assert_eq!(bench.store.finish_build(&lost, &upload.id, built(&json!({}))).await.unwrap(), BuildEnd::Stale);
    bench.finish_build(&upload.id, built(&json!({}))).await;
}

pub(crate) async fn a_build_goes_to_a_worker_with_the_projects_labels(bench: &Bench) {
    bench.deploy("shop", built(&json!({ "replication": { "workerLabels": ["gpu", "region=eu"] } }))).await;
    let upload = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let some = NewWorker { labels: labels(&["gpu"]), ..bench.new_worker() };
    let all = NewWorker { labels: labels(&["region=eu", "more", "gpu"]), ..bench.new_worker() };
    let (some, all) = (bench.join(some).await, bench.join(all).await);
    for worker in [&bench.worker(), &some] {
        assert_eq!(bench.store.claim_build(worker).await.unwrap(), None);
    }
    assert_eq!(bench.store.claim_build(&all).await.unwrap().map(|taken| taken.id), Some(upload.id));
}

pub(crate) async fn an_older_upload_never_replaces_a_later_one(bench: &Bench) {
    let older = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let (later, project) = bench.deploy("shop", built(&json!({}))).await;
    bench.finish_build(&older.id, built(&json!({}))).await;
    assert!(bench.store.find_deployment(&project, &later).await.unwrap().unwrap().is_active);
    let older = bench.store.find_deployment(&project, &older.id).await.unwrap().unwrap();
    assert_eq!((older.status, older.is_active), (DeploymentStatus::Ready, false));
}

pub(crate) async fn a_ready_deployment_can_be_activated_again(bench: &Bench) {
    let (first, project) = bench.deploy("shop", built(&json!({ "replication": { "maxConcurrentRequests": 1 } }))).await;
    let (second, _) = bench.deploy("shop", built(&json!({ "replication": { "maxConcurrentRequests": 2 } }))).await;
    let other = bench.project("other", 1).await;
    let failed = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let builder = bench.builder_of(&failed.id).await;
    bench.store.refuse_build(&builder, &failed.id, Vec::new()).await.unwrap();

    assert_eq!(bench.store.activate_deployment(&other, &first).await.unwrap(), None);
    assert_eq!(bench.store.activate_deployment(&project, &failed.id).await.unwrap(), None);
    let active = bench.store.activate_deployment(&project, &first).await.unwrap().unwrap();
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
