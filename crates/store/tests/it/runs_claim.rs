//! Facts about claims, epochs and attempts that are used up.

use std::collections::HashSet;

use keywright_domain::{AttemptCode, AttemptEnd, RunReason, RunState, Stage, WorkerId};
use keywright_store::{Claimed, CommitOutcome, NewWorker};
use serde_json::json;

use crate::bench::{Bench, built, captured, existing, failed, labels, returned};

pub(crate) async fn a_projects_runs_are_taken_oldest_first(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    let mut accepted = Vec::new();
    for _ in 0..5 {
        accepted.push(bench.accept_run(&project, bench.api_run(None)).await);
    }
    let first = bench.claim_by(&bench.worker(), 2).await;
    assert_eq!(first.into_iter().map(|record| record.id).collect::<Vec<_>>(), accepted[..2]);
    assert_eq!(bench.claimed_ids().await, accepted[2..]);
    assert!(bench.claim().await.is_empty());
}

pub(crate) async fn projects_take_turns(bench: &Bench) {
    let (crowd, few) = (bench.project("crowd", 100).await, bench.project("few", 100).await);
    for _ in 0..20 {
        bench.accept_run(&crowd, bench.api_run(None)).await;
    }
    let taken = async |limit| {
        let taken = bench.claim_by(&bench.worker(), limit).await;
        taken.into_iter().map(|record| record.project_name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(taken(3).await, ["crowd"; 3]);
    for _ in 0..4 {
        bench.accept_run(&few, bench.api_run(None)).await;
    }
    // However many wait before them, and however small the bites are.
    assert_eq!(taken(1).await, ["few"]);
    assert_eq!(taken(1).await, ["crowd"]);
    assert_eq!(taken(4).await, ["few", "crowd", "few", "crowd"]);
    let last = bench.project("last", 100).await;
    bench.accept_run(&last, bench.api_run(None)).await;
    assert_eq!(taken(4).await, ["last", "few", "crowd", "crowd"]);
}

pub(crate) async fn a_worker_takes_what_it_has_room_for(bench: &Bench) {
    let project = bench.project("shop", 100).await;
    for _ in 0..5 {
        bench.accept_run(&project, bench.api_run(None)).await;
    }
    let narrow = bench.join(NewWorker { capacity: 2, ..bench.new_worker() }).await;
    let scheduler = bench.join(NewWorker { capacity: 0, ..bench.new_worker() }).await;
    assert_eq!(bench.claim_by(&scheduler, 10).await.len(), 0);
    let taken = bench.claim_by(&narrow, 10).await;
    assert_eq!(taken.len(), 2);
    assert_eq!(bench.claim_by(&narrow, 10).await.len(), 0);
    bench.store.release_run(&taken[0].id, taken[0].epoch).await.unwrap();
    assert_eq!(bench.claim_by(&narrow, 10).await.len(), 1);
    assert_eq!(bench.claim().await.len(), 3);
}

pub(crate) async fn a_run_goes_to_a_worker_with_its_projects_labels(bench: &Bench) {
    let wants = |labels: &[&str]| built(&json!({ "replication": { "workerLabels": labels } }));
    let (_, project) = bench.deploy("shop", wants(&["gpu", "region=eu"])).await;
    let run = bench.accept_run(&project, bench.api_run(None)).await;
    let some = bench.join(NewWorker { labels: labels(&["gpu"]), ..bench.new_worker() }).await;
    let all = bench.join(NewWorker { labels: labels(&["region=eu", "more", "gpu"]), ..bench.new_worker() }).await;
    assert_eq!(bench.claim().await.len(), 0);
    assert_eq!(bench.claim_by(&some, 10).await.len(), 0);
    let taken = bench.claim_by(&all, 10).await;
    assert_eq!(taken.iter().map(|record| &record.id).collect::<Vec<_>>(), [&run]);

    // The active deployment decides.
    bench.store.release_run(&run, taken[0].epoch).await.unwrap();
    let upload = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    assert_eq!(bench.store.claim_build(&all).await.unwrap().map(|taken| taken.id), Some(upload.id.clone()));
    bench.store.finish_build(&all, &upload.id, wants(&["gpu"])).await.unwrap();
    assert_eq!(bench.claim_by(&some, 10).await.len(), 1);
}

pub(crate) async fn a_worker_that_was_given_up_takes_nothing(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    let lost = bench.worker();
    bench.next_life().await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let unknown = WorkerId::from_entropy([1; 21]);
    for worker in [&lost, &unknown] {
        assert!(matches!(bench.store.claim_runs(worker, 10).await.unwrap(), Claimed::WorkerGone));
    }
    assert_eq!(bench.claim().await.len(), 1);
}

/// Whatever becomes of the one at its head, the line for a session moves on, and only then.
pub(crate) async fn a_line_for_a_session_moves_on(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let mut line = Vec::new();
    for _ in 0..8 {
        line.push(bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await);
    }
    let head = async || {
        let mut taken = bench.claim().await;
        assert_eq!(taken.len(), 1, "one at a time");
        taken.remove(0)
    };
    // Somebody in the middle leaves, and nobody moves.
    bench.store.cancel_run(&project, &line[6], RunReason::UserAction).await.unwrap();
    // Canceled while it waits to be taken.
    bench.store.cancel_run(&project, &line[0], RunReason::UserAction).await.unwrap();
    // Canceled while it is under way.
    let record = head().await;
    assert_eq!(record.id, line[1]);
    bench.store.cancel_run(&project, &line[1], RunReason::UserAction).await.unwrap();
    // Past its check.
    let record = bench.begin(head().await).await;
    assert_eq!(record.id, line[2]);
    bench.attempt(record, AttemptEnd::CheckPassed).await;
    // Handed back, and taken again before the others.
    let record = head().await;
    assert_eq!(record.id, line[3]);
    bench.store.release_run(&record.id, record.epoch).await.unwrap();
    assert_eq!(head().await.id, line[3]);
    // Lost with its worker, which had the one past its check as well; taken again, and failed.
    assert_eq!(bench.next_life().await.runs, 2);
    let taken = bench.claim().await;
    assert_eq!(taken.iter().map(|record| &record.id).collect::<Vec<_>>(), [&line[2], &line[3]]);
    let mut record = bench.begin(taken.into_iter().next_back().unwrap()).await;
    for _ in 0..6 {
        record = bench.attempt(record, failed(AttemptCode::AuthCheckFailed)).await;
    }
    assert!(record.state.is_terminal());
    // The session goes, and each of the others finds that out when it comes to its turn.
    assert!(bench.store.delete_auth_session(&project, "ada").await.unwrap());
    for expected in [&line[4], &line[5], &line[7]] {
        let record = head().await;
        assert_eq!(record.id, *expected);
        assert!(bench.begin(record).await.state.is_terminal());
    }
    assert!(bench.claim().await.is_empty());
}

pub(crate) async fn a_line_for_an_ephemeral_session_outlives_it(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    let first = bench.accept_run(&project, bench.runtime_run("auth-session-x", true, json!(1))).await;
    let second = bench.accept_run(&project, bench.runtime_run("auth-session-x", true, json!(2))).await;
    let record = bench.claim_one().await;
    assert_eq!(record.id, first);
    bench.store.cancel_run(&project, &first, RunReason::UserAction).await.unwrap();
    let record = bench.claim_one().await;
    assert_eq!((&record.id, record.session_input.is_none()), (&second, true), "its input went with the session");
    assert!(bench.begin(record).await.state.is_terminal());
}

pub(crate) async fn a_project_never_exceeds_its_concurrency(bench: &Bench) {
    let narrow = bench.project("narrow", 2).await;
    let wide = bench.project("wide", 10).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(bench.accept_run(&narrow, bench.api_run(None)).await);
    }
    let later = bench.accept_run(&wide, bench.api_run(None)).await;
    let taken = bench.claim().await;
    assert_eq!(taken.iter().map(|record| &record.id).collect::<Vec<_>>(), [&waiting[0], &later, &waiting[1]]);

    let record = bench.begin(taken.into_iter().next().unwrap()).await;
    assert!(bench.claim().await.is_empty());
    bench.attempt(record, returned(json!(1))).await;
    assert_eq!(bench.claimed_ids().await, [waiting[2].clone()]);
}

pub(crate) async fn one_session_has_one_owner(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    bench.ready_session(&project, "bob", json!({}), json!({})).await;
    let first = bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    let (second, _) = bench.accept_operation(&project, bench.validate("ada")).await;
    let other = bench.accept_run(&project, bench.api_run(Some(existing("bob")))).await;
    let free = bench.accept_run(&project, bench.api_run(None)).await;
    let taken = bench.claim().await;
    assert_eq!(taken.iter().map(|record| &record.id).collect::<Vec<_>>(), [&first, &other, &free]);

    // Handed back, the first is still before the second.
    bench.store.release_run(&first, taken[0].epoch).await.unwrap();
    assert_eq!(bench.claimed_ids().await, std::slice::from_ref(&first));
    bench.store.cancel_run(&project, &first, RunReason::UserAction).await.unwrap();
    assert_eq!(bench.claimed_ids().await, [second]);
}

pub(crate) async fn a_run_in_its_api_stage_lets_the_next_one_in(bench: &Bench) {
    let project = bench.project("shop", 10).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    let second = bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    let record = bench.take().await;
    assert!(bench.claim().await.is_empty());
    let record = bench.attempt(record, AttemptEnd::CheckPassed).await;
    assert!(matches!(&record.state, RunState::Started(progress) if progress.stage == Stage::Api));
    assert_eq!(bench.claimed_ids().await, [second]);

    // And it can be taken again while the other one has the session.
    bench.store.release_run(&record.id, record.epoch).await.unwrap();
    assert_eq!(bench.claimed_ids().await, [record.id]);
}

pub(crate) async fn two_claimers_never_own_the_same_run(bench: &Bench) {
    const RUNS: usize = 40;
    let project = bench.project("shop", 100).await;
    bench.ready_session(&project, "ada", json!({}), json!({})).await;
    let mut accepted = HashSet::new();
    for _ in 0..RUNS {
        accepted.insert(bench.accept_run(&project, bench.api_run(None)).await);
    }
    for _ in 0..2 {
        bench.accept_run(&project, bench.api_run(Some(existing("ada")))).await;
    }
    let mut workers = Vec::new();
    for _ in 0..20 {
        workers.push(bench.join(bench.new_worker()).await);
    }
    let claims = workers.iter().map(|worker| bench.claim_by(worker, 7));
    let taken: Vec<_> = futures::future::join_all(claims).await.into_iter().flatten().collect();
    let ids: HashSet<_> = taken.iter().map(|record| record.id.clone()).collect();
    assert_eq!(ids.len(), taken.len(), "no run was taken twice");
    assert!(accepted.is_subset(&ids));
    assert_eq!(ids.len(), RUNS + 1, "of two runs of one session, one");
}

pub(crate) async fn a_run_stays_on_its_deployment(bench: &Bench) {
    let (old, project) = bench.deploy("shop", built(&json!({ "replication": { "maxConcurrentRequests": 5 } }))).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    assert_eq!(record.deployment, Some(old.clone()));
    let (new, _) = bench.deploy("shop", built(&json!({}))).await;
    bench.store.release_run(&record.id, record.epoch).await.unwrap();
    let again = bench.claim_one().await;
    assert_eq!((again.id.clone(), again.deployment.clone()), (record.id, Some(old)));
    let again = bench.begin(again).await;
    bench.attempt(again, returned(json!(1))).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    assert_eq!(bench.claim_one().await.deployment, Some(new));
}

pub(crate) async fn a_run_waits_for_a_first_deployment(bench: &Bench) {
    let accepted = bench.store.accept_deployment(&bench.workspace, bench.upload("shop")).await.unwrap();
    let run = bench.accept_run(&accepted.project, bench.api_run(None)).await;
    assert!(bench.claim().await.is_empty());
    bench.finish_build(&accepted.id, built(&json!({}))).await;
    assert_eq!(bench.claimed_ids().await, [run]);
}

pub(crate) async fn a_lost_attempt_stays_visible(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let number = Some(bench.open_attempt(&record).await);
    assert_eq!(bench.next_life().await.runs, 1);
    assert_eq!(bench.next_life().await.runs, 0);

    let again = bench.claim_one().await;
    assert_eq!((again.id.clone(), again.state.clone(), again.open_attempt), (record.id.clone(), record.state, number));
    assert!(again.epoch > record.epoch);
    // At most one attempt of a run is under way, whatever its worker thinks.
    assert!(bench.store.begin_attempt(&again.id, again.epoch, Stage::Api).await.is_err());
    assert_eq!(bench.store.list_attempts(&project, &again.id).await.unwrap().unwrap().len(), 1);
}

pub(crate) async fn an_old_epoch_changes_nothing(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    let old = bench.take().await;
    let (transition, close) = bench.attempted(&old, &captured(json!("old"))).await;
    let late = bench.commit(&old, transition, Some(close), Some(captured(json!("old"))));
    let lost = bench.worker();
    assert_eq!(bench.store.list_claims(&lost).await.unwrap(), [(old.id.clone(), old.epoch)]);
    bench.next_life().await;
    let stale_already = async || {
        assert_eq!(bench.store.commit_run(late.clone()).await.unwrap(), CommitOutcome::Stale);
        assert_eq!(bench.store.list_claims(&lost).await.unwrap(), []);
        assert!(!bench.holds(&old).await);
        let begun = bench.store.begin_attempt(&old.id, old.epoch, Stage::Create).await.unwrap();
        assert_eq!(begun, None);
        bench.store.release_run(&old.id, old.epoch).await.unwrap();
    };
    stale_already().await;
    let new = bench.claim_one().await;
    stale_already().await;

    assert!(bench.holds(&new).await && new.epoch > old.epoch);
    assert_eq!((new.state, new.candidate), (old.state, None));
    assert!(bench.claim().await.is_empty(), "the old worker could not release it");
    assert_eq!(bench.store.list_attempts(&project, &new.id).await.unwrap().unwrap().len(), 1);
}

pub(crate) async fn a_released_run_can_be_taken_again(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.claim_one().await;
    assert!(bench.holds(&record).await);
    bench.store.release_run(&record.id, record.epoch).await.unwrap();
    assert!(!bench.holds(&record).await);
    assert_eq!(bench.store.begin_attempt(&record.id, record.epoch, Stage::Api).await.unwrap(), None);
    let again = bench.claim_one().await;
    assert_eq!((&again.id, again.open_attempt), (&record.id, None));
    assert!(again.epoch > record.epoch);
}
