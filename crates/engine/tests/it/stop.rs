//! Stopping: what is under way gets its grace, what is left is handed back, and only started user code counts.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::{RunCode, RunKind, RunState, Stage};
use keywright_store::AttemptOutcome;
use tokio::sync::Notify;

use crate::script::Act;
use crate::world::{Ask, World, in_time};

const API: Ask = Ask { session: None, ..Ask::new(RunKind::Api) };

#[tokio::test]
async fn an_attempt_before_user_code_is_handed_back_unused() {
    let world = World::new();
    let mut server = world.start().await;
    world.site.script(Stage::Api, [Act::HangBeforeUserCode]);
    let run = server.ask(Ask { attempts: 1, ..API }).await;
    server.until_attempts(&run, |attempts| attempts.len() == 1).await;
    server.stop(Duration::ZERO).await;
    assert!(matches!(server.output(&run).await.state, RunState::Started(progress) if progress.used == 0));
    let server = server.restart().await;
    assert_eq!(server.ended(&run).await, RunState::Completed);
    assert_eq!(world.site.count(Stage::Api), 1);
}

#[tokio::test]
async fn an_attempt_that_is_stopped_in_user_code_counts() {
    let world = World::new();
    let mut server = world.start().await;
    world.site.script(Stage::Api, [Act::Hang]);
    let run = server.ask(Ask { attempts: 1, ..API }).await;
    in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
    server.stop(Duration::ZERO).await;
    let RunState::Failed(failure) = server.output(&run).await.state else { panic!("it was the only attempt") };
    assert_eq!((failure.code, failure.attempts_count), (RunCode::InternalServerError, 1));
    let AttemptOutcome::Failed(failure) = server.attempts(&run).await.remove(0).outcome.unwrap() else { panic!() };
    assert_eq!(failure.message, "the server was stopped during the attempt");
}

#[tokio::test]
async fn within_the_grace_an_attempt_ends_by_itself_and_no_other_begins() {
    let world = World::new();
    let mut server = world.start().await;
    server.finish(Ask::new(RunKind::Create)).await;
    let answer = Arc::new(Notify::new());
    world.site.script(Stage::Check, [Act::After(Arc::clone(&answer))]);
    let run = server.ask(Ask::new(RunKind::Api)).await;
    in_time(world.site.until(|site| site.count(Stage::Check) == 1)).await;
    // The check's answer comes while the server drains: it is committed, and the API waits for the next life.
    tokio::join!(biased; server.stop(Duration::from_secs(30)), async { answer.notify_one() });
    assert!(matches!(server.output(&run).await.state, RunState::Started(progress) if progress.stage == Stage::Api));
    assert_eq!(world.site.stages(&run), [Stage::Check]);
    let server = server.restart().await;
    assert_eq!(server.ended(&run).await, RunState::Completed);
    assert_eq!(world.site.stages(&run), [Stage::Check, Stage::Api]);
}

#[tokio::test]
async fn a_driver_that_breaks_costs_an_attempt_and_not_the_run() {
    let world = World::new();
    let mut server = world.start().await;
    world.site.script(Stage::Api, [Act::Panic]);
    let run = server.ask(API).await;
    in_time(world.site.until(|site| site.count(Stage::Api) == 1)).await;
    // Draining cuts the pause before the run is handed back.
    server.stop(Duration::from_secs(30)).await;
    let server = server.restart().await;
    assert_eq!(server.ended(&run).await, RunState::Completed);
    let attempts = server.attempts(&run).await;
    assert_eq!(attempts.len(), 2);
    assert!(matches!(&attempts[0].outcome, Some(AttemptOutcome::Failed(failure)) if failure.is_counted));
}
