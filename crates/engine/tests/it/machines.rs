//! Machines that cannot do their part: a deployment that is not here, slots that do not start.

use std::time::Duration;

use keywright_domain::{AttemptCode, RunCode, RunKind, RunState, Stage};

use crate::hooked::Hook;
use crate::script::{Act, failure};
use crate::world::{Ask, Post, World};

const API: Ask = Ask { session: None, ..Ask::new(RunKind::Api) };

/// Nothing the machine does can start an attempt.
fn cannot_start() -> Act {
    failure(AttemptCode::InternalServerError)
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_another_machine_built_is_built_once_before_its_first_attempts() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    let id = server.deploy().await;
    let _node = server.join(Post::new(1), Hook::never()).await.unwrap();
    let runs = [server.ask(API).await, server.ask(API).await, server.ask(API).await];
    for run in &runs {
        assert_eq!(server.ended(run).await, RunState::Completed);
        assert_eq!(server.attempts(run).await.len(), 1);
    }
    assert_eq!(world.site.builds(1, &id), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_build_leaves_the_run_to_one_that_can() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    world.site.break_builds(1, 1_000);
    let _broken = server.join(Post::new(1), Hook::never()).await.unwrap();
    let run = server.ask(Ask { attempts: 1, ..API }).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!server.output(&run).await.state.is_terminal() && server.attempts(&run).await.is_empty());
    let _whole = server.join(Post::new(2), Hook::never()).await.unwrap();
    assert_eq!(server.ended(&run).await, RunState::Completed);
    assert_eq!(server.attempts(&run).await.len(), 1);
    assert_eq!(world.site.visits()[0].node, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_can_be_built_nowhere_ends_its_runs_as_our_fault() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    let id = server.deploy().await;
    world.site.break_builds(1, 1_000);
    let node = server.join(Post::new(1), Hook::never()).await.unwrap();
    let (run, state) = server.finish(API).await;
    let RunState::Failed(failure) = state else { panic!("{state:?}") };
    assert_eq!((failure.code, failure.attempts_count), (RunCode::InternalServerError, 0));
    assert!(failure.message.contains("could not build the deployment"), "{}", failure.message);
    assert_eq!(server.attempts(&run).await.len(), 3);
    assert_eq!(world.site.builds(1, &id), 6, "three times handed back, three times told");
    assert!(node.status().is_unfit);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_start_attempts_stops_taking_runs_and_tries_again_later() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let node = server.join(Post { concurrency: 1, ..Post::new(1) }, Hook::never()).await.unwrap();
    world.site.script(Stage::Api, std::iter::repeat_n(cannot_start(), 4));
    let first = server.ask(API).await;
    let second = server.ask(API).await;
    let RunState::Failed(failure) = server.ended(&first).await else { panic!("it was tried three times") };
    assert_eq!((failure.code, failure.attempts_count), (RunCode::InternalServerError, 0));
    let status = node.status();
    assert!(status.is_unfit && status.start_failures == 3, "{status:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(server.attempts(&second).await.is_empty(), "nothing is taken for a while");
    // The trial fails once more, the next one does not.
    assert_eq!(server.ended(&second).await, RunState::Completed);
    assert_eq!(server.attempts(&second).await.len(), 2);
    let status = node.status();
    assert!(!status.is_unfit && status.start_failures == 0, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_one_machine_cannot_start_is_started_by_another() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    world.site.choose_on(|node, _| if node == 1 { cannot_start() } else { Act::Succeed });
    let broken = server.join(Post::new(1), Hook::never()).await.unwrap();
    let run = server.ask(Ask { attempts: 1, ..API }).await;
    server.until_attempts(&run, |attempts| attempts.len() == 2 && attempts[1].outcome.is_some()).await;
    let _whole = server.join(Post::new(2), Hook::never()).await.unwrap();
    assert_eq!(server.ended(&run).await, RunState::Completed);
    assert_eq!(world.site.visits().last().unwrap().node, 2);
    assert!(broken.status().start_failures >= 2);
}

#[tokio::test(start_paused = true)]
async fn places_open_step_by_step_when_a_life_begins() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    world.site.script(Stage::Api, std::iter::repeat_n(Act::Hang, 64));
    for _ in 0..64 {
        server.ask(API).await;
    }
    let node = server.join(Post { concurrency: 64, ..Post::new(1) }, Hook::never()).await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        taken.push(64 - node.status().places_free);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(taken, [2, 4, 8, 16, 32, 64, 64]);
}
