//! A store that is away for a while, and one that refuses for good.

use keywright_domain::{RunCode, RunKind, RunReason, RunState, Stage};
use keywright_store::{AttemptOutcome, StoreError, VaultError};

use crate::hooked::{Hook, away};
use crate::world::{Ask, World};

#[tokio::test]
async fn a_store_that_is_away_for_a_while_costs_no_attempt_and_no_result() {
    let world = World::new();
    let hook = Hook::never();
    let mut server = world.open(std::sync::Arc::clone(&hook)).await;
    server.deploy().await;
    for method in ["claim_runs", "session_secrets", "get_deployment", "begin_attempt", "commit_run", "commit_run"] {
        hook.fail(method, away());
    }
    server.begin().await;
    let (run, state) = server.finish(Ask { attempts: 1, ..Ask::new(RunKind::Create) }).await;
    assert_eq!(state, RunState::Completed);
    assert_eq!(world.site.stages(&run), [Stage::Create, Stage::PostCheck]);
    assert_eq!(server.attempts(&run).await.len(), 2);
    assert_eq!(hook.failures_left(), 0, "every failure was met");
}

#[tokio::test]
async fn secrets_that_do_not_open_end_the_run_as_our_fault_and_leave_the_session() {
    let world = World::new();
    let hook = Hook::never();
    let mut server = world.open(std::sync::Arc::clone(&hook)).await;
    server.deploy().await;
    server.begin().await;
    server.finish(Ask::new(RunKind::Create)).await;
    let before = server.session("ada").await;
    // Read once when the run is taken, and once for each of the three attempts that may be lost.
    for _ in 0..4 {
        hook.fail("session_secrets", StoreError::Vault(VaultError::DoesNotOpen));
    }
    let (run, state) = server.finish(Ask::new(RunKind::Api)).await;
    let RunState::Canceled(RunReason::SessionDependency(dependency)) = state else { panic!("{state:?}") };
    assert_eq!((dependency.cause, dependency.attempts_count), (RunCode::InternalServerError, 0));
    assert_eq!(world.site.stages(&run), []);
    let attempts = server.attempts(&run).await;
    assert_eq!(attempts.len(), 3);
    for attempt in attempts {
        let Some(AttemptOutcome::Failed(failure)) = attempt.outcome else { panic!() };
        assert_eq!((failure.message.as_str(), failure.is_counted), ("a stored secret cannot be used", false));
    }
    assert_eq!(server.session("ada").await, before);
}
