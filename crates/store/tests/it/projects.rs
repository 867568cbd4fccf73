//! Facts about projects.

use keywright_domain::WorkspaceId;
use serde_json::json;

use crate::bench::{Bench, built};

pub(crate) async fn a_project_has_no_active_deployment_before_one_is_ready(bench: &Bench) {
    assert_eq!(bench.store.find_project(&bench.workspace, "shop").await.unwrap(), None);
    let accepted = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let project = bench.store.find_project(&bench.workspace, "shop").await.unwrap().unwrap();
    assert_eq!((project.id, project.active), (accepted.project, None));

    let settings = json!({ "authSessions": { "enabled": true }, "replication": { "maxConcurrentRequests": 4 } });
    bench.finish_build(&accepted.id, built(&settings)).await;
    let active = bench.store.find_project(&bench.workspace, "shop").await.unwrap().unwrap().active.unwrap();
    assert_eq!(active.id, accepted.id);
    assert!(active.settings.is_auth_enabled);
    assert_eq!(active.settings.max_concurrent, 4);
    assert_eq!(active.apis, built(&settings).apis);
}

pub(crate) async fn projects_are_listed_by_name(bench: &Bench) {
    bench.project("zoo", 1).await;
    bench.project("bank", 1).await;
    bench.store.accept_deployment(&bench.workspace, bench.upload("mill")).await.unwrap();
    let projects = bench.store.list_projects(&bench.workspace).await.unwrap();
    let names: Vec<_> = projects.iter().map(|project| (project.name.as_str(), project.active.is_some())).collect();
    assert_eq!(names, [("bank", true), ("mill", false), ("zoo", true)]);

    let stranger = WorkspaceId::from_entropy([8; 16]);
    assert_eq!(bench.store.list_projects(&stranger).await.unwrap(), []);
    assert_eq!(bench.store.find_project(&stranger, "zoo").await.unwrap(), None);
}
