//! What is not kept any longer goes: rows first, then the blobs they left, also when whoever removes them dies in between.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::{RetentionPolicy, RunId, RunKind, RunState};
use keywright_store::BlobKey;

use crate::hooked::Hook;
use crate::world::{Ask, Post, Server, World};

const API: Ask = Ask { session: None, ..Ask::new(RunKind::Api) };

/// What is kept is looked at once a minute.
fn minutes() -> RetentionPolicy {
    RetentionPolicy { runs_s: 200, logs_s: 200, ..RetentionPolicy::default() }
}

/// A run that has ended, and where its log lies.
async fn finished(server: &Server<'_>) -> (RunId, BlobKey) {
    let (run, state) = server.finish(API).await;
    assert_eq!(state, RunState::Completed);
    let log = server.attempts(&run).await[0].log_blob.clone().unwrap();
    (run, log)
}

async fn is_there(server: &Server<'_>, run: &RunId) -> bool {
    server.store.find_run(&server.world.project, run).await.unwrap().is_some()
}

async fn has_blob(server: &Server<'_>, key: &BlobKey) -> bool {
    server.blobs.get(&server.world.workspace, key).await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn old_runs_and_their_logs_go_and_young_ones_stay() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let _node = server.join(Post { retention: minutes(), ..Post::new(1) }, Hook::never()).await.unwrap();
    let (old, old_log) = finished(&server).await;
    tokio::time::sleep(Duration::from_secs(130)).await;
    let (young, young_log) = finished(&server).await;
    assert!(is_there(&server, &old).await && has_blob(&server, &old_log).await);
    tokio::time::sleep(Duration::from_secs(140)).await;
    assert!(!is_there(&server, &old).await && !has_blob(&server, &old_log).await);
    assert!(is_there(&server, &young).await && has_blob(&server, &young_log).await);
    server.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn blobs_that_were_left_by_whoever_died_are_removed_by_the_next() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let worker = server.join(Post::worker(1), Hook::never()).await.unwrap();
    let (run, log) = finished(&server).await;
    world.in_time(worker.engine.stop(std::future::pending())).await;
    tokio::time::sleep(Duration::from_secs(300)).await;

    let dies = Hook::when(|name| name == "after expire_history");
    let _first = server.join(Post { retention: minutes(), ..Post::scheduler(2) }, Arc::clone(&dies)).await.unwrap();
    assert_eq!(world.in_time(dies.reached()).await, "after expire_history");
    assert!(!is_there(&server, &run).await && has_blob(&server, &log).await);
    let _second = server.join(Post { retention: minutes(), ..Post::scheduler(3) }, Hook::never()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!has_blob(&server, &log).await);
    assert_eq!(server.store.list_garbage(10).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn only_whoever_has_the_seat_removes_anything() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let (seated, waiting) = (Hook::never(), Hook::never());
    let _seated = server.join(Post::scheduler(1), Arc::clone(&seated)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _waiting = server.join(Post { retention: minutes(), ..Post::new(2) }, Arc::clone(&waiting)).await.unwrap();
    let (run, _) = finished(&server).await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert!(is_there(&server, &run).await);
    assert!(seated.calls("expire_history") > 0);
    assert_eq!(waiting.calls("expire_history"), 0);
}
