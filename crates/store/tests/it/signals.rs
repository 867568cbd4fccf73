//! Facts about the signals that commits send.

use keywright_domain::{FileId, RunReason, Stage};
use keywright_store::{BlobKey, StoredFile, TraceStatus};
use serde_json::json;

use crate::bench::{Bench, built};

pub(crate) async fn every_write_announces_itself_and_nothing_else_does(bench: &Bench) {
    let store = &bench.store;
    let mut commits = store.signals().subscribe();
    let mut announced = |what: &str, expected: bool| {
        assert_eq!(commits.has_changed().unwrap(), expected, "{what}");
        commits.mark_unchanged();
    };
    announced("nothing yet", false);
    let key = store.create_key(&bench.workspace, bench.key("k", [5; 32]), bench.now()).await.unwrap();
    announced("create_key", true);
    store.revoke_key(&bench.workspace, &key.id, bench.now()).await.unwrap();
    announced("revoke_key", true);
    let deployment = store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    announced("accept_deployment", true);
    store.finish_build(&deployment.id, built(&json!({})), bench.now()).await.unwrap();
    announced("finish_build", true);
    let project = deployment.project;
    let refused = store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    announced("accept_deployment", true);
    store.refuse_build(&refused.id, Vec::new(), bench.now()).await.unwrap();
    announced("refuse_build", true);
    store.activate_deployment(&project, &deployment.id, bench.now()).await.unwrap();
    announced("activate_deployment", true);
    store.set_value(&bench.workspace, &project, "k", json!(1)).await.unwrap();
    announced("set_value", true);
    let file = StoredFile {
        id: FileId::from_entropy(bench.entropy()),
        workspace: bench.workspace.clone(),
        project: project.clone(),
        name: "f".to_owned(),
        content_type: None,
        size_bytes: 1,
        blob: BlobKey::parse("b").unwrap(),
        created_at: bench.now(),
    };
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
    let number = store.begin_attempt(&record.id, record.epoch, Stage::Create, bench.now()).await.unwrap().unwrap();
    announced("begin_attempt", true);
    store.file_log(&record.id, number, BlobKey::parse("b").unwrap()).await.unwrap();
    announced("file_log", true);
    store.file_trace(&record.id, number, TraceStatus::Pending).await.unwrap();
    announced("file_trace", true);
    store.drop_pending_traces("gone").await.unwrap();
    announced("drop_pending_traces", true);
    store.release_run(&record.id, record.epoch).await.unwrap();
    announced("release_run", true);
    store.release_all_claims().await.unwrap();
    announced("a release of nothing", false);
    store.cancel_locked_out(10, bench.now()).await.unwrap();
    announced("nobody locked out", false);
    store.cancel_run(&project, &record.id, RunReason::UserAction, bench.now()).await.unwrap();
    announced("cancel_run", true);
    store.delete_auth_session(&project, "ada").await.unwrap();
    announced("delete_auth_session", true);
    bench.accept_run(&project, bench.api_run(None)).await;
    announced("accept_run", true);

    store.find_run(&project, &record.id).await.unwrap();
    store.list_auth_sessions(&project).await.unwrap();
    announced("reading", false);
}
