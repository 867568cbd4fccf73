//! Answers that never come: what the database has is true, nothing is done twice, and nobody is left waiting.

use std::sync::Arc;

use keywright_domain::{AttemptFailure, DeploymentStatus, RunKind, RunState, Stage};
use keywright_store::AttemptOutcome;

use crate::hooked::{Hook, unknown};
use crate::script::Act;
use crate::world::{Ask, World};

const API: Ask = Ask { session: None, ..Ask::new(RunKind::Api) };

/// How the attempts of the only run ended, when this one answer is lost.
async fn outcomes(method: &'static str, is_carried_out: bool) -> Vec<Option<AttemptOutcome>> {
    let (world, hook) = (World::paused(), Hook::never());
    let mut server = world.open(Arc::clone(&hook)).await;
    server.deploy().await;
    let lose = move |hook: &Hook| if is_carried_out { hook.lose_answer(method) } else { hook.fail(method, unknown()) };
    let run = server.ask(API).await;
    if method == "commit_run" {
        // The first commit puts the run into the machine; meant is the one that ends the attempt.
        let (mut is_first, way) = (true, Arc::clone(&hook));
        world.site.choose(move |_| {
            if std::mem::take(&mut is_first) {
                lose(&way);
            }
            Act::Succeed
        });
    } else {
        lose(&hook);
    }
    server.begin().await;
    let state = server.ended(&run).await;
    assert_eq!(state, RunState::Completed, "{method}");
    assert_eq!(hook.failures_left(), 0);
    server.assert_sound().await;
    server.attempts(&run).await.into_iter().map(|attempt| attempt.outcome).collect()
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_handed_back_and_costs_no_attempt() {
    assert_eq!(outcomes("claim_runs", true).await, [Some(AttemptOutcome::Succeeded)]);
    assert_eq!(outcomes("claim_runs", false).await, [Some(AttemptOutcome::Succeeded)]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_begun_counts_only_if_it_did() {
    let lost = Some(AttemptOutcome::Failed(AttemptFailure::worker_lost()));
    assert_eq!(outcomes("begin_attempt", true).await, [lost, Some(AttemptOutcome::Succeeded)]);
    assert_eq!(outcomes("begin_attempt", false).await, [Some(AttemptOutcome::Succeeded)]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_may_have_been_committed_is_not_committed_again() {
    let lost = Some(AttemptOutcome::Failed(AttemptFailure::worker_lost()));
    assert_eq!(outcomes("commit_run", true).await, [Some(AttemptOutcome::Succeeded)]);
    assert_eq!(outcomes("commit_run", false).await, [lost, Some(AttemptOutcome::Succeeded)]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_may_have_been_handed_back_is_not_led_by_nobody() {
    for is_carried_out in [true, false] {
        let (world, hook) = (World::paused(), Hook::never());
        let mut server = world.open(Arc::clone(&hook)).await;
        server.deploy().await;
        server.begin().await;
        hook.fail("begin_attempt", unknown());
        if is_carried_out {
            hook.lose_answer("release_run")
        } else {
            hook.fail("release_run", unknown())
        }
        assert_eq!(server.finish(API).await.1, RunState::Completed);
        assert_eq!(world.site.count(Stage::Api), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_whose_answers_are_lost_is_built_and_ends_once() {
    let (world, hook) = (World::paused(), Hook::never());
    let mut server = world.open(Arc::clone(&hook)).await;
    hook.lose_answer("claim_build");
    hook.lose_answer("finish_build");
    let id = server.upload("{}").await;
    server.begin().await;
    let deployment = crate::builds::finished(&server, &id).await;
    assert_eq!((deployment.status, deployment.is_active), (DeploymentStatus::Ready, true));
    assert_eq!(world.site.builds(0, &id), 1);
    assert_eq!(hook.failures_left(), 0);
}
