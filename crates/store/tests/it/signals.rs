//! Facts about the signals that commits send.

use keywright_domain::{RetentionPolicy, RunReason, Stage};
use serde_json::json;

use crate::bench::{Bench, TTL_MS, built};

pub(crate) async fn every_write_announces_itself_and_nothing_else_does(bench: &Bench) {
    let (store, worker) = (&bench.store, bench.worker());
    let mut commits = store.signals().subscribe();
    let mut announced = |what: &str, expected: bool| {
        assert_eq!(commits.has_changed().unwrap(), expected, "{what}");
        commits.mark_unchanged();
    };
    announced("nothing yet", false);
    let key = store.create_key(&bench.workspace, bench.key("k", [5; 32])).await.unwrap();
    announced("create_key", true);
    store.revoke_key(&bench.workspace, &key.id).await.unwrap();
    announced("revoke_key", true);
    let deployment = store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    announced("accept_deployment", true);
    store.claim_build(&worker).await.unwrap();
    announced("claim_build", true);
    store.release_build(&worker, &deployment.id).await.unwrap();
    announced("release_build", true);
    store.claim_build(&worker).await.unwrap();
    store.finish_build(&worker, &deployment.id, built(&json!({}))).await.unwrap();
    announced("finish_build", true);
    store.claim_build(&worker).await.unwrap();
    announced("a claim of no build", false);
    let project = deployment.project;
    let refused = store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    store.claim_build(&worker).await.unwrap();
    announced("accept_deployment", true);
    store.refuse_build(&worker, &refused.id, Vec::new()).await.unwrap();
    announced("refuse_build", true);
    store.activate_deployment(&project, &deployment.id).await.unwrap();
    announced("activate_deployment", true);
    store.set_value(&bench.workspace, &project, "k", json!(1)).await.unwrap();
    announced("set_value", true);
    let file = bench.file(&project, bench.blob(1));
    store.insert_file(file).await.unwrap();
    announced("insert_file", true);

    bench.claim().await;
    announced("a claim of nothing", false);
    bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    announced("accept_operation", true);
    let record = bench.claim_one().await;
    announced("claim_runs", true);
    bench.claim().await;
    announced("another claim of nothing", false);
    let record = bench.begin(record).await;
    announced("commit_run", true);
    let number = store.begin_attempt(&record.id, record.epoch, Stage::Create).await.unwrap().unwrap();
    announced("begin_attempt", true);
    store.file_log(&record.id, number, bench.blob(1)).await.unwrap();
    announced("file_log", true);
    store.drop_trace(&record.id, number, "gone").await.unwrap();
    announced("drop_trace", true);
    store.file_trace(&record.id, number, bench.blob(1)).await.unwrap();
    announced("file_trace", true);
    store.release_run(&record.id, record.epoch).await.unwrap();
    announced("release_run", true);
    store.release_run(&record.id, record.epoch).await.unwrap();
    announced("a release of nothing", false);
    let seat = bench.seat().await;
    announced("acquire_lease", true);
    store.cancel_locked_out(&seat, 10).await.unwrap();
    announced("nobody locked out", false);
    store.rescue_workers(&seat, 10).await.unwrap();
    announced("nobody lost", false);
    store.expire_history(&seat, &RetentionPolicy::default(), 10).await.unwrap();
    announced("nothing is too old", false);
    store.release_lease(&seat).await.unwrap();
    announced("release_lease", true);
    store.renew_worker(&worker, TTL_MS).await.unwrap();
    announced("renew_worker", true);
    store.cancel_run(&project, &record.id, RunReason::UserAction).await.unwrap();
    announced("cancel_run", true);
    store.delete_auth_session(&project, "ada").await.unwrap();
    announced("delete_auth_session", true);
    bench.accept_run(&project, bench.api_run(None)).await;
    announced("accept_run", true);

    store.find_run(&project, &record.id).await.unwrap();
    store.list_auth_sessions(&project).await.unwrap();
    store.audit(10).await.unwrap();
    announced("reading", false);
    store.ping().await.unwrap();
    announced("ping", false);
    bench.next_life().await;
    announced("register_worker", true);
    store.retire_worker(&bench.worker()).await.unwrap();
    announced("retire_worker", true);
}
