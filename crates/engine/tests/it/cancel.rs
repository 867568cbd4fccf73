//! Cancel is final: what runs is told at once, what has not begun never begins, and the next in line waits for what is dying.

use std::sync::Arc;

use keywright_domain::{RunKind, RunReason, RunState, Stage};
use keywright_store::AttemptOutcome;
use serde_json::json;
use tokio::sync::Notify;

use crate::script::Act;
use crate::world::{Ask, World, in_time};

const CANCELED: RunState = RunState::Canceled(RunReason::UserAction);

#[tokio::test]
async fn a_running_attempt_is_told_and_its_log_is_kept() {
    let world = World::new();
    let server = world.start().await;
    world.site.script(Stage::Api, [Act::Hang]);
    world.site.trace(Ok("trace"));
    let run = server.ask(Ask { session: None, is_trace_wanted: true, ..Ask::new(RunKind::Api) }).await;
    in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
    server.cancel(&run).await;
    assert_eq!(server.ended(&run).await, CANCELED);
    let attempts = server.until_attempts(&run, |attempts| attempts[0].log_blob.is_some()).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Aborted));
    assert_eq!(world.site.discarded(), 1, "its trace is removed unread");
}

#[tokio::test]
async fn a_run_canceled_while_it_waits_never_begins() {
    let world = World::new();
    let server = world.start().await;
    server.finish(Ask::new(RunKind::Create)).await;
    world.site.script(Stage::Check, [Act::Hang]);
    let (first, second) = (server.ask(Ask::new(RunKind::Api)).await, server.ask(Ask::new(RunKind::Api)).await);
    in_time(world.site.until(|site| site.stages(&first) == [Stage::Check])).await;
    server.cancel(&second).await;
    server.cancel(&first).await;
    assert_eq!((server.ended(&first).await, server.ended(&second).await), (CANCELED, CANCELED));
    assert_eq!(server.finish(Ask::new(RunKind::Validate)).await.1, RunState::Completed);
    assert_eq!(world.site.stages(&second), []);
    assert!(server.attempts(&second).await.is_empty());
}

#[tokio::test]
async fn the_next_login_waits_until_a_canceled_one_is_really_over() {
    let world = World::new();
    let server = world.start().await;
    let is_over = Arc::new(Notify::new());
    world.site.script(Stage::Create, [Act::Linger(Arc::clone(&is_over))]);
    let first = server.ask(Ask::new(RunKind::Create)).await;
    in_time(world.site.until(|site| site.count(Stage::Create) == 1)).await;
    server.cancel(&first).await;
    let second = server.ask(Ask::new(RunKind::Create)).await;
    server.until(&second, |output| matches!(output.state, RunState::Started(_))).await;
    // The second run has been taken and could begin now; many commits later it still has not.
    for count in 0..20 {
        server.store.set_value(&world.workspace, &world.project, "tick", json!(count)).await.unwrap();
    }
    assert_eq!(world.site.stages(&second), []);
    is_over.notify_one();
    assert_eq!(server.ended(&second).await, RunState::Completed);
    assert_eq!(world.site.most_in_flight(), 1);
}
