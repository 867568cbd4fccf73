//! The lives of a worker: one that cannot renew its lease ends everything before others may take over, and begins anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keywright_domain::{AttemptFailure, LeaseTerms, RunKind, RunState, Stage};
use keywright_store::{AttemptOutcome, StoreError, WorkerStatus};
use tokio::sync::Notify;

use crate::hooked::{Hook, Way, away, unknown};
use crate::script::Act;
use crate::world::{Ask, Post, Server, World};

const API: Ask = Ask { session: None, ..Ask::new(RunKind::Api) };

/// Starts an engine with a run whose first attempt hangs.
async fn hanging<'w>(world: &'w World, hook: &Arc<Hook>) -> (Server<'w>, keywright_domain::RunId) {
    let mut server = world.open(Arc::clone(hook)).await;
    server.deploy().await;
    server.begin().await;
    world.site.script(Stage::Api, [Act::Hang]);
    let run = server.ask(API).await;
    world.in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
    (server, run)
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_its_database_ends_its_attempts_before_its_lease_lapses_and_begins_anew() {
    for way in [Way::Refused, Way::Swallowed] {
        let (world, hook) = (World::paused(), Hook::never());
        let (server, run) = hanging(&world, &hook).await;
        let first = server.node().status().worker.unwrap();
        let lease_end = server.workers().await.into_iter().find(|record| record.id == first).unwrap().lease_until;
        hook.set_way(way);
        world.in_time(world.site.until(|site| site.ended() == 1)).await;
        let now = server.store.ping().await.unwrap();
        assert!(now < lease_end, "{way:?}: nobody else could have taken over yet");
        let status = server.node().status();
        assert!(status.is_fenced && status.worker.is_none() && status.store_trouble_since.is_some(), "{status:?}");

        hook.set_way(Way::Open);
        assert_eq!(server.ended(&run).await, RunState::Completed);
        let attempts = server.attempts(&run).await;
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Failed(AttemptFailure::worker_lost())), "it counts");
        assert_ne!(attempts[1].worker, first);
        let status = server.node().status();
        assert!(!status.is_fenced && status.worker == Some(attempts[1].worker.clone()) && status.store_trouble_since.is_none());
        server.assert_sound().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_fence_costs_nothing() {
    for way in [Way::Refused, Way::Swallowed] {
        let (world, hook, answer) = (World::paused(), Hook::never(), Arc::new(Notify::new()));
        let mut server = world.open(Arc::clone(&hook)).await;
        server.deploy().await;
        server.begin().await;
        world.site.script(Stage::Api, [Act::After(Arc::clone(&answer))]);
        let run = server.ask(API).await;
        world.in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
        let worker = server.node().status().worker;
        hook.set_way(way);
        tokio::time::sleep(LeaseTerms::default().fence() - LeaseTerms::default().beat() * 2).await;
        hook.set_way(Way::Open);
        answer.notify_one();
        assert_eq!(server.ended(&run).await, RunState::Completed);
        assert_eq!(server.attempts(&run).await.len(), 1, "{way:?}");
        tokio::time::sleep(LeaseTerms::default().ttl() * 2).await;
        assert_eq!(server.node().status().worker, worker, "it is the same life");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_given_up_begins_a_new_life_at_its_next_word() {
    let (world, hook) = (World::paused(), Hook::never());
    let (server, run) = hanging(&world, &hook).await;
    let first = server.node().status().worker.unwrap();
    server.store.retire_worker(&first).await.unwrap();
    assert_eq!(server.ended(&run).await, RunState::Completed);
    let attempts = server.attempts(&run).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.worker == first).collect::<Vec<_>>(), [true, false]);
    server.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_starts_without_its_database_and_works_once_it_is_there() {
    for error in [away, unknown] {
        let (world, hook) = (World::paused(), Hook::never());
        let mut server = world.open(Arc::clone(&hook)).await;
        server.deploy().await;
        for _ in 0..3 {
            hook.fail("register_worker", error());
        }
        server.begin().await;
        let status = server.node().status();
        assert!(status.worker.is_none() && status.store_trouble_since.is_some());
        assert_eq!(server.finish(API).await.1, RunState::Completed);
        assert_eq!(hook.failures_left(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_for_good_is_an_error_of_the_start() {
    let (world, hook) = (World::paused(), Hook::never());
    let server = world.open(Hook::never()).await;
    hook.fail("register_worker", StoreError::Corrupt { table: "workers", what: "status".to_owned() });
    assert!(matches!(server.join(Post::new(1), hook).await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stop_frees_everything_at_once() {
    let (world, hook) = (World::paused(), Hook::never());
    let (mut server, run) = hanging(&world, &hook).await;
    let worker = server.node().status().worker.unwrap();
    server.stop(Duration::ZERO).await;
    let record = server.workers().await.into_iter().find(|record| record.id == worker).unwrap();
    assert_eq!((record.status, record.runs), (WorkerStatus::Retired, 0));
    let _other = server.join(Post::new(1), Hook::never()).await.unwrap();
    assert_eq!(server.ended(&run).await, RunState::Completed);
    server.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_also_while_the_database_is_away() {
    for way in [Way::Refused, Way::Swallowed] {
        let (world, hook) = (World::paused(), Hook::never());
        let (mut server, run) = hanging(&world, &hook).await;
        hook.set_way(way);
        let before = world.time.elapsed();
        server.stop(Duration::from_secs(5)).await;
        assert!(world.time.elapsed() - before < Duration::from_secs(60), "{way:?}");
        assert!(!server.output(&run).await.state.is_terminal());
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_beyond_its_lease_starts_nothing_of_what_it_had_begun() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let post = Post::new(1);
    // It falls asleep with the attempt used up and no user code started, and nobody but the clock knows when it wakes.
    let slept_s = Arc::clone(&post.slept_s);
    let hook = Hook::when(move |name| {
        if name == "after begin_attempt" {
            slept_s.store(60, Ordering::Release);
        }
        false
    });
    let _node = server.join(post, hook).await.unwrap();
    let (run, state) = server.finish(API).await;
    assert_eq!(state, RunState::Completed);
    let attempts = server.attempts(&run).await;
    assert_eq!(attempts.len(), 2, "the one that was begun counts");
    assert_ne!(attempts[0].worker, attempts[1].worker);
    assert_eq!(world.site.count(Stage::Api), 1, "and never started");
}
