//! Facts about claims, epochs and attempts that are used up.

use std::collections::HashSet;

use keywright_domain::{AttemptEnd, RunState, Stage, WorkerId};
use keywright_store::CommitOutcome;
use serde_json::json;

use crate::bench::{Bench, built, captured, existing, returned};

pub(crate) async fn runs_are_taken_oldest_first(bench: &Bench) {
    let one = bench.project("one", 10).await;
    let two = bench.project("two", 10).await;
    let mut accepted = Vec::new();
    for project in [&two, &one, &two, &one, &one] {
        accepted.push(bench.accept_run(project, bench.api_run(None)).await);
    }
    let first = bench.store.claim_runs(&bench.worker, 2, bench.now()).await.unwrap();
    assert_eq!(first.into_iter().map(|record| record.id).collect::<Vec<_>>(), accepted[..2]);
    assert_eq!(bench.claimed_ids().await, accepted[2..]);
    assert!(bench.claim().await.is_empty());
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
    assert_eq!(taken.iter().map(|record| &record.id).collect::<Vec<_>>(), [&waiting[0], &waiting[1], &later]);

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
    bench.store.cancel_run(&project, &first, keywright_domain::RunReason::UserAction, bench.now()).await.unwrap();
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
    let claims = (0..20_u8).map(|number| {
        let worker = WorkerId::from_entropy([number; 21]);
        async move { bench.store.claim_runs(&worker, 7, bench.now()).await.unwrap() }
    });
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
    let accepted = bench.store.accept_deployment(&bench.workspace, bench.upload("shop"), bench.now()).await.unwrap();
    let run = bench.accept_run(&accepted.project, bench.api_run(None)).await;
    assert!(bench.claim().await.is_empty());
    bench.store.finish_build(&accepted.id, built(&json!({})), bench.now()).await.unwrap();
    assert_eq!(bench.claimed_ids().await, [run]);
}

pub(crate) async fn a_lost_attempt_stays_visible(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.take().await;
    let number = bench.store.begin_attempt(&record.id, record.epoch, Stage::Api, bench.now()).await.unwrap();
    assert_eq!(bench.store.release_all_claims().await.unwrap(), 1);
    assert_eq!(bench.store.release_all_claims().await.unwrap(), 0);

    let again = bench.claim_one().await;
    assert_eq!((again.id.clone(), again.state.clone(), again.open_attempt), (record.id.clone(), record.state, number));
    assert!(again.epoch > record.epoch);
    // At most one attempt of a run is under way, whatever its worker thinks.
    assert!(bench.store.begin_attempt(&again.id, again.epoch, Stage::Api, bench.now()).await.is_err());
    assert_eq!(bench.store.list_attempts(&project, &again.id).await.unwrap().unwrap().len(), 1);
}

pub(crate) async fn an_old_epoch_changes_nothing(bench: &Bench) {
    let project = bench.project("shop", 5).await;
    bench.accept_operation(&project, bench.create("ada", json!({}))).await;
    let old = bench.take().await;
    let (transition, close) = bench.attempted(&old, &captured(json!("old"))).await;
    let late = bench.commit(&old, transition, Some(close), Some(captured(json!("old"))));
    bench.store.release_all_claims().await.unwrap();
    let stale_already = async || {
        assert_eq!(bench.store.commit_run(late.clone()).await.unwrap(), CommitOutcome::Stale);
        assert!(!bench.store.is_claim_current(&old.id, old.epoch).await.unwrap());
        let begun = bench.store.begin_attempt(&old.id, old.epoch, Stage::Create, bench.now()).await.unwrap();
        assert_eq!(begun, None);
        bench.store.release_run(&old.id, old.epoch).await.unwrap();
    };
    stale_already().await;
    let new = bench.claim_one().await;
    stale_already().await;

    assert!(bench.store.is_claim_current(&new.id, new.epoch).await.unwrap());
    assert_eq!((new.state, new.candidate), (old.state, None));
    assert!(bench.claim().await.is_empty(), "the old worker could not release it");
    assert_eq!(bench.store.list_attempts(&project, &new.id).await.unwrap().unwrap().len(), 1);
}

pub(crate) async fn a_released_run_can_be_taken_again(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    bench.accept_run(&project, bench.api_run(None)).await;
    let record = bench.claim_one().await;
    assert!(bench.store.is_claim_current(&record.id, record.epoch).await.unwrap());
    bench.store.release_run(&record.id, record.epoch).await.unwrap();
    assert!(!bench.store.is_claim_current(&record.id, record.epoch).await.unwrap());
    assert_eq!(bench.store.begin_attempt(&record.id, record.epoch, Stage::Api, bench.now()).await.unwrap(), None);
    let again = bench.claim_one().await;
    assert_eq!((again.id, again.epoch, again.open_attempt), (record.id, record.epoch + 1, None));
}
