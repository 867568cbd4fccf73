//! Several engines on one store: what one of them loses or leaves, another takes up, and nothing is done twice at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keywright_domain::{LeaseTerms, RunKind, RunReason, RunState, Stage, WorkerLabel};
use keywright_store::{AttemptOutcome, WorkerStatus};
use tokio::sync::Notify;

use crate::hooked::{Hook, Way};
use crate::script::Act;
use crate::world::{Ask, Post, World};

const API: Ask = Ask { session: None, ..Ask::new(RunKind::Api) };

/// From the loss of a node to the next attempt of its runs.
const MAX_LOSS: Duration = Duration::from_secs(40);

#[tokio::test(start_paused = true)]
async fn what_a_lost_node_led_goes_on_elsewhere_whatever_the_clocks_say() {
    const HOUR: i64 = 3_600;
    for skews in [[0, 0], [HOUR, -HOUR], [-HOUR, HOUR], [-40 * 365 * 24 * HOUR, 0]] {
        let world = World::paused();
        let server = world.open(Hook::never()).await;
        server.deploy().await;
        let way = Hook::never();
        let lost = server.join(Post { skew: skews[0], ..Post::new(1) }, Arc::clone(&way)).await.unwrap();
        world.site.script(Stage::Create, [Act::Hang]);
        let run = server.ask(Ask::new(RunKind::Create)).await;
        world.in_time(world.site.until(|site| site.count(Stage::Create) == 1)).await;
        let _other = server.join(Post { skew: skews[1], ..Post::new(2) }, Hook::never()).await.unwrap();
        // Both have been there for a while.
        tokio::time::sleep(LeaseTerms::default().ttl() * 2).await;

        way.set_way(Way::Swallowed);
        let before = world.time.elapsed();
        world.in_time(world.site.until(|site| site.count(Stage::Create) == 2)).await;
        assert!(world.time.elapsed() - before <= MAX_LOSS, "{skews:?}: {:?}", world.time.elapsed() - before);
        assert_eq!(server.ended(&run).await, RunState::Completed);
        assert_eq!(world.site.most_in_flight(), 1, "the lost node has ended its login before the other begins one");
        assert_eq!(world.site.visits().iter().map(|visit| visit.node).collect::<Vec<_>>(), [1, 2, 2]);
        assert!(lost.status().is_fenced);
        server.assert_sound().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_canceled_on_another_node_is_told_even_if_no_signal_comes() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let _deaf = server.join(Post { is_deaf: true, ..Post::new(1) }, Hook::never()).await.unwrap();
    world.site.script(Stage::Api, [Act::Hang]);
    let run = server.ask(API).await;
    world.in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
    server.cancel(&run).await;
    let before = world.time.elapsed();
    world.in_time(world.site.until(|site| site.ended() == 1)).await;
    assert!(world.time.elapsed() - before < Duration::from_secs(10));
    assert_eq!(server.ended(&run).await, RunState::Canceled(RunReason::UserAction));
    assert_eq!(server.attempts(&run).await[0].outcome, Some(AttemptOutcome::Aborted));
}

#[tokio::test(start_paused = true)]
async fn one_task_watches_over_all_claims() {
    let (world, hook) = (World::paused(), Hook::never());
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let _node = server.join(Post { concurrency: 16, is_deaf: true, ..Post::worker(1) }, Arc::clone(&hook)).await.unwrap();
    world.site.script(Stage::Api, std::iter::repeat_n(Act::Hang, 16));
    for _ in 0..16 {
        server.ask(API).await;
    }
    world.in_time(world.site.until(|site| site.count(Stage::Api) == 16)).await;
    let before = hook.calls("list_claims");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let looks = hook.calls("list_claims") - before;
    assert!((20..=40).contains(&looks), "{looks} looks in a minute, whatever the number of attempts");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_database_costs_nobody_its_claims_when_it_returns() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let (sweeping, hanging) = (Hook::never(), Hook::never());
    let scheduler = server.join(Post::scheduler(1), Arc::clone(&sweeping)).await.unwrap();
    let worker = server.join(Post::worker(2), Arc::clone(&hanging)).await.unwrap();
    let id = worker.status().worker.unwrap();
    let terms = LeaseTerms::default();
    tokio::time::sleep(terms.ttl() * 2).await;
    assert!(scheduler.status().is_scheduler && !worker.status().is_scheduler);

    // The scheduler sees the database again before its own fence; the worker's lease lapses meanwhile.
    sweeping.set_way(Way::Refused);
    hanging.set_way(Way::Swallowed);
    tokio::time::sleep(terms.fence() - terms.beat()).await;
    sweeping.set_way(Way::Open);
    let status_of = |records: Vec<keywright_store::WorkerRecord>| {
        records.into_iter().find(|record| record.id == id).map(|record| record.status)
    };
    tokio::time::sleep(terms.ttl() - terms.sweep()).await;
    assert_eq!(status_of(server.workers().await), Some(WorkerStatus::Live), "it could still renew");
    tokio::time::sleep(terms.sweep() * 3).await;
    assert_eq!(status_of(server.workers().await), Some(WorkerStatus::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_finishes_what_runs_and_leaves_the_rest_to_others() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let old = server.join(Post::new(1), Hook::never()).await.unwrap();
    let answer = Arc::new(Notify::new());
    world.site.script(Stage::Api, [Act::After(Arc::clone(&answer))]);
    let running = server.ask(API).await;
    world.in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
    let new = server.join(Post::new(2), Hook::never()).await.unwrap();
    let work = async {
        // The seat is given back at once, and what comes now is the new node's.
        let (_, state) = server.finish(API).await;
        assert_eq!(state, RunState::Completed);
        assert!(old.status().is_draining && !old.status().is_scheduler);
        tokio::time::sleep(LeaseTerms::default().sweep() * 2).await;
        assert!(new.status().is_scheduler);
        answer.notify_one();
    };
    world.in_time(async { tokio::join!(biased; old.engine.stop(tokio::time::sleep(Duration::from_secs(60))), work) }).await;
    assert_eq!(server.output(&running).await.state, RunState::Completed);
    assert_eq!(world.site.visits().iter().map(|visit| visit.node).collect::<Vec<_>>(), [1, 2]);
    server.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_attempt_has_not_begun_is_handed_back_unused_by_a_draining_node() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let hook = Hook::never();
    let old = server.join(Post::new(1), Arc::clone(&hook)).await.unwrap();
    // The second run of the session waits on the old node for the first, whose attempt takes its time to end.
    let is_over = Arc::new(Notify::new());
    world.site.script(Stage::Create, [Act::Linger(Arc::clone(&is_over))]);
    let first = server.ask(Ask::new(RunKind::Create)).await;
    world.in_time(world.site.until(|site| site.count(Stage::Create) == 1)).await;
    server.cancel(&first).await;
    let second = server.ask(Ask { attempts: 1, ..Ask::new(RunKind::Create) }).await;
    server.until(&second, |output| matches!(output.state, RunState::Started(_))).await;
    assert!(server.attempts(&second).await.is_empty());
    let _new = server.join(Post::new(2), Hook::never()).await.unwrap();
    let work = async {
        assert_eq!(server.ended(&second).await, RunState::Completed);
        is_over.notify_one();
    };
    world.in_time(async { tokio::join!(biased; old.engine.stop(tokio::time::sleep(Duration::from_secs(60))), work) }).await;
    assert_eq!(server.attempts(&second).await.len(), 2, "one login and its check");
    server.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_only_to_a_worker_that_carries_its_projects_labels() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy_with(r#"{"replication": {"maxConcurrentRequests": 100, "workerLabels": ["region=eu"]}}"#).await;
    let _plain = server.join(Post::new(1), Hook::never()).await.unwrap();
    let run = server.ask(API).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.output(&run).await.state, RunState::Pending);
    let labels = BTreeSet::from([WorkerLabel::parse("region=eu").unwrap()]);
    let _labelled = server.join(Post { labels, ..Post::new(2) }, Hook::never()).await.unwrap();
    assert_eq!(server.ended(&run).await, RunState::Completed);
    assert_eq!(world.site.visits()[0].node, 2);
}

#[tokio::test(start_paused = true)]
async fn roles_are_kept_apart() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let scheduler = server.join(Post::scheduler(1), Hook::never()).await.unwrap();
    let run = server.ask(API).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(scheduler.status().is_scheduler);
    assert_eq!(server.output(&run).await.state, RunState::Pending, "a scheduler leads no runs");
    let worker = server.join(Post::worker(2), Hook::never()).await.unwrap();
    assert_eq!(server.ended(&run).await, RunState::Completed);
    world.in_time(scheduler.engine.stop(std::future::pending())).await;
    tokio::time::sleep(LeaseTerms::default().ttl() * 2).await;
    assert!(!worker.status().is_scheduler);
}

#[tokio::test(start_paused = true)]
async fn the_seat_of_a_lost_scheduler_is_taken_when_it_lapses() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    let way = Hook::never();
    let first = server.join(Post::scheduler(1), Arc::clone(&way)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = server.join(Post::scheduler(2), Hook::never()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(first.status().is_scheduler && !second.status().is_scheduler);
    way.set_way(Way::Swallowed);
    tokio::time::sleep(MAX_LOSS).await;
    assert!(!first.status().is_scheduler && second.status().is_scheduler);
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_dies_in_the_middle_of_a_sweep_is_followed_by_another() {
    let world = World::paused();
    let server = world.open(Hook::never()).await;
    server.deploy().await;
    let way = Hook::never();
    let _lost = server.join(Post::worker(1), Arc::clone(&way)).await.unwrap();
    world.site.script(Stage::Api, [Act::Hang]);
    let run = server.ask(API).await;
    world.in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
    way.set_way(Way::Swallowed);
    let dies = Hook::when(|name| name == "after rescue_workers");
    let _first = server.join(Post::scheduler(2), Arc::clone(&dies)).await.unwrap();
    world.in_time(dies.reached()).await;
    let _second = server.join(Post::new(3), Hook::never()).await.unwrap();
    assert_eq!(server.ended(&run).await, RunState::Completed);
    assert_eq!(world.site.visits().iter().map(|visit| visit.node).collect::<Vec<_>>(), [1, 3]);
    tokio::time::sleep(MAX_LOSS + LeaseTerms::default().ttl()).await;
    let statuses = server.workers().await.into_iter().filter(|record| record.status == WorkerStatus::Live);
    assert_eq!(statuses.count(), 1, "the second has given the first up");
    server.assert_sound().await;
}
