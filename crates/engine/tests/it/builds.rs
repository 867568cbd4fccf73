//! Deployments: built from their archive, activated, refused with their problems, resumed after a crash.

use keywright_domain::{DeploymentId, DeploymentStatus, RunKind, RunState};
use keywright_store::Deployment;

use crate::hooked::Hook;
use crate::world::{Ask, Server, World, in_time};

pub(crate) async fn finished(server: &Server<'_>, id: &DeploymentId) -> Deployment {
    let mut commits = server.store.signals().subscribe();
    server
        .world
        .in_time(async {
            loop {
                commits.mark_unchanged();
                let deployment = server.store.get_deployment(id).await.unwrap().unwrap();
                if deployment.status != DeploymentStatus::Building {
                    return deployment;
                }
                commits.changed().await.unwrap();
            }
        })
        .await
}

#[tokio::test]
async fn a_good_upload_becomes_active_is_warmed_and_takes_the_next_run() {
    let world = World::new();
    let server = world.start().await;
    let id = server.upload("{}").await;
    let deployment = finished(&server, &id).await;
    assert_eq!((deployment.status, deployment.is_active), (DeploymentStatus::Ready, true));
    in_time(world.site.until(|site| site.warmed() == [id.clone()])).await;
    let (_, state) = server.finish(Ask { session: None, ..Ask::new(RunKind::Api) }).await;
    assert_eq!(state, RunState::Completed);
    assert_eq!(world.site.visits()[0].deployment, id);
}

#[tokio::test]
async fn a_bad_upload_is_refused_with_its_problems_and_the_old_one_stays() {
    let world = World::new();
    let server = world.start().await;
    let id = server.upload("refuse").await;
    let deployment = finished(&server, &id).await;
    assert_eq!((deployment.status, deployment.is_active), (DeploymentStatus::Failed, false));
    assert_eq!((deployment.problems[0].file.as_str(), deployment.problems[0].line), ("api/orders.ts", Some(3)));
    let (_, state) = server.finish(Ask { session: None, ..Ask::new(RunKind::Api) }).await;
    assert_eq!(state, RunState::Completed);
}

#[test]
fn a_build_that_a_crash_interrupted_is_done_by_the_next_life() {
    let world = World::new();
    for moment in ["before finish_build", "after finish_build"] {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        let id = first.block_on(async {
            let hook = Hook::when(move |name| name == moment);
            let mut server = world.open(std::sync::Arc::clone(&hook)).await;
            server.begin().await;
            let id = server.upload("{}").await;
            assert_eq!(in_time(hook.reached()).await, moment);
            id
        });
        drop(first);
        runtime().block_on(async {
            let mut server = world.open(Hook::never()).await;
            server.begin().await;
            let deployment = finished(&server, &id).await;
            assert_eq!((deployment.status, deployment.is_active), (DeploymentStatus::Ready, true));
        });
    }
}
