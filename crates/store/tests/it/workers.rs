//! Facts about workers: who is alive, who is given up, and what becomes of what they held.

use keywright_domain::{AttemptNumber, WorkerId};
use keywright_store::{
    AttemptClose, NewWorker, Renewal, Rescued, RunRecord, Supersedes, TraceStatus, WorkerRecord, WorkerStatus,
};
use serde_json::json;

use crate::bench::{Bench, TTL_MS, labels, returned};

async fn worker(bench: &Bench, id: &WorkerId) -> WorkerRecord {
    bench.store.list_workers(100).await.unwrap().into_iter().find(|worker| worker.id == *id).unwrap()
}

async fn status(bench: &Bench, id: &WorkerId) -> WorkerStatus {
    worker(bench, id).await.status
}

/// Has the worker hold a run with an open attempt, a build, and a trace that it still has to clean.
async fn busy(bench: &Bench, id: &WorkerId, project: &str) -> (RunRecord, RunRecord, AttemptNumber) {
    let project = bench.store.find_project(&bench.workspace, project).await.unwrap().unwrap();
    let mut taken = Vec::new();
    for _ in 0..2 {
        bench.accept_run(&project.id, bench.api_run(None)).await;
        let record = bench.claim_by(id, 1).await.remove(0);
        taken.push(bench.begin(record).await);
    }
    let (transition, close) = bench.attempted(&taken[0], &returned(json!(1))).await;
    let close = AttemptClose { is_trace_pending: true, ..close };
    let commit = bench.commit(&taken[0], transition, Some(close), Some(returned(json!(1))));
    bench.store.commit_run(commit).await.unwrap();
    let open = bench.open_attempt(&taken[1]).await;
    bench.store.accept_deployment(&bench.workspace, bench.upload(project.name.as_str())).await.unwrap();
    bench.store.claim_build(id).await.unwrap().unwrap();
    let [ended, running] = taken.try_into().unwrap();
    (ended, running, open)
}

const EVERYTHING: Rescued = Rescued { workers: 1, runs: 1, builds: 1, traces: 1 };
const NOTHING: Rescued = Rescued { workers: 0, runs: 0, builds: 0, traces: 0 };

/// What was held can be had again, and its old holder has nothing to say any more.
async fn expect_freed(bench: &Bench, lost: &WorkerId, (ended, running, open): (RunRecord, RunRecord, AttemptNumber)) {
    assert_eq!(bench.store.list_claims(lost).await.unwrap(), []);
    assert_eq!(worker(bench, lost).await.runs, 0);
    assert!(matches!(bench.attempts(&ended).await[0].trace, TraceStatus::Dropped(_)));
    let again = bench.claim().await.remove(0);
    assert_eq!((&again.id, again.open_attempt, again.state), (&running.id, Some(open), running.state));
    assert!(again.epoch > running.epoch);
    assert!(bench.store.claim_build(&bench.worker()).await.unwrap().is_some());
}

pub(crate) async fn a_worker_is_known_by_what_it_said(bench: &Bench) {
    let new = NewWorker { labels: labels(&["gpu", "region=eu"]), capacity: 3, ..bench.new_worker() };
    let expected = new.clone();
    assert_eq!(bench.store.register_worker(new).await.unwrap(), NOTHING);
    let project = bench.project("shop", 5).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    assert_eq!(bench.claim_by(&expected.id, 10).await.len(), 1);
    let found = worker(bench, &expected.id).await;
    assert_eq!((found.node, found.host, found.labels), (expected.node, expected.host, expected.labels));
    assert_eq!((found.capacity, found.version, found.status, found.runs), (3, expected.version, WorkerStatus::Live, 1));
    assert_eq!(found.lease_until.as_micros() - found.started_at.as_micros(), i64::from(TTL_MS) * 1_000);
}

pub(crate) async fn a_new_life_supersedes_those_of_its_folder(bench: &Bench) {
    bench.project("shop", 5).await;
    let first = bench.new_worker();
    let elsewhere = NewWorker { host: "another".to_owned(), node: first.node.clone(), ..bench.new_worker() };
    let (elsewhere, neighbour) = (bench.join(elsewhere).await, bench.worker());
    bench.join(first.clone()).await;
    let held = busy(bench, &first.id, "shop").await;
    let second = NewWorker { node: first.node.clone(), ..bench.new_worker() };
    assert_eq!(bench.store.register_worker(second.clone()).await.unwrap(), EVERYTHING);
    assert_eq!(status(bench, &first.id).await, WorkerStatus::Lost);
    for id in [&elsewhere, &neighbour, &second.id] {
        assert_eq!(status(bench, id).await, WorkerStatus::Live);
    }
    expect_freed(bench, &first.id, held).await;
}

pub(crate) async fn whoever_has_the_database_alone_supersedes_everybody(bench: &Bench) {
    bench.project("shop", 5).await;
    let lost = bench.join(bench.new_worker()).await;
    let held = busy(bench, &lost, "shop").await;
    let everybody = NewWorker { supersedes: Supersedes::Everybody, ..bench.new_worker() };
    let expected = Rescued { workers: 2, ..EVERYTHING };
    assert_eq!(bench.store.register_worker(everybody.clone()).await.unwrap(), expected);
    assert_eq!(status(bench, &lost).await, WorkerStatus::Lost);
    assert_eq!(status(bench, &everybody.id).await, WorkerStatus::Live);
    bench.next_life().await;
    expect_freed(bench, &lost, held).await;
}

pub(crate) async fn a_lapsed_lease_can_be_renewed(bench: &Bench) {
    let id = bench.worker();
    let before = worker(bench, &id).await.lease_until;
    bench.pass_seconds(3_600);
    let Renewal::Renewed { database_now } = bench.store.renew_worker(&id, TTL_MS).await.unwrap() else { panic!("it is alive") };
    assert!(database_now > before);
    assert_eq!(worker(bench, &id).await.lease_until, database_now.plus_seconds(30));
    assert_eq!(bench.store.rescue_workers(&bench.seat().await, 10).await.unwrap(), Some(NOTHING));
    assert_eq!(bench.store.renew_worker(&WorkerId::from_entropy([1; 21]), TTL_MS).await.unwrap(), Renewal::Gone);
}

pub(crate) async fn lapsed_workers_are_given_up_and_no_others(bench: &Bench) {
    bench.project("shop", 5).await;
    let (lost, alive) = (bench.join(bench.new_worker()).await, bench.join(bench.new_worker()).await);
    let held = busy(bench, &lost, "shop").await;
    let survivor = {
        let project = bench.store.find_project(&bench.workspace, "shop").await.unwrap().unwrap().id;
        bench.accept_run(&project, bench.api_run(None)).await;
        bench.claim_by(&alive, 1).await.remove(0)
    };
    bench.pass_seconds(29);
    assert_eq!(bench.store.rescue_workers(&bench.seat().await, 10).await.unwrap(), Some(NOTHING), "nobody has lapsed");
    bench.store.renew_worker(&alive, TTL_MS).await.unwrap();
    bench.pass_seconds(2);
    // Whoever sits on the seat has lapsed as well, and is evidently alive.
    assert_eq!(bench.store.rescue_workers(&bench.seat().await, 10).await.unwrap(), Some(EVERYTHING));
    assert_eq!(status(bench, &lost).await, WorkerStatus::Lost);
    assert_eq!(bench.store.renew_worker(&lost, TTL_MS).await.unwrap(), Renewal::Gone);
    assert_eq!(status(bench, &lost).await, WorkerStatus::Lost);
    assert_eq!(bench.store.list_claims(&alive).await.unwrap(), [(survivor.id, survivor.epoch)]);
    assert_eq!(bench.store.rescue_workers(&bench.seat().await, 10).await.unwrap(), Some(NOTHING), "once");
    expect_freed(bench, &lost, held).await;
}

pub(crate) async fn no_more_workers_are_given_up_than_asked_for(bench: &Bench) {
    for _ in 0..3 {
        bench.join(bench.new_worker()).await;
    }
    bench.pass_seconds(31);
    for expected in [2, 1, 0] {
        let rescued = bench.store.rescue_workers(&bench.seat().await, 2).await.unwrap().unwrap();
        assert_eq!(rescued.workers, expected);
    }
}

pub(crate) async fn a_retired_worker_leaves_nothing_behind(bench: &Bench) {
    bench.project("shop", 5).await;
    let id = bench.join(bench.new_worker()).await;
    let held = busy(bench, &id, "shop").await;
    assert_eq!(bench.store.retire_worker(&id).await.unwrap(), EVERYTHING);
    assert_eq!(bench.store.retire_worker(&id).await.unwrap(), NOTHING);
    assert_eq!(bench.store.renew_worker(&id, TTL_MS).await.unwrap(), Renewal::Gone);
    bench.pass_seconds(31);
    bench.store.rescue_workers(&bench.seat().await, 10).await.unwrap();
    assert_eq!(status(bench, &id).await, WorkerStatus::Retired);
    expect_freed(bench, &id, held).await;
}

pub(crate) async fn live_workers_are_listed_before_old_ones_are(bench: &Bench) {
    let mut retired = Vec::new();
    for _ in 0..3 {
        let id = bench.join(bench.new_worker()).await;
        bench.store.retire_worker(&id).await.unwrap();
        retired.push(id);
    }
    let live = bench.worker();
    let ids = async |limit| {
        let workers = bench.store.list_workers(limit).await.unwrap();
        workers.into_iter().map(|worker| worker.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(1).await, std::slice::from_ref(&live));
    assert_eq!(ids(2).await, [retired[2].clone(), live.clone()], "newest first");
    assert_eq!(ids(10).await, [retired[2].clone(), retired[1].clone(), retired[0].clone(), live]);
}

pub(crate) async fn the_database_tells_its_time(bench: &Bench) {
    let before = bench.store.ping().await.unwrap();
    bench.pass_seconds(60);
    let after = bench.store.ping().await.unwrap();
    assert!(after >= before.plus_seconds(60), "{before:?} {after:?}");
}
