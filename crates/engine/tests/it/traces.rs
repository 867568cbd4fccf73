//! Traces: cleaned after the commit, stored or dropped with the reason, never left pending.

use keywright_domain::RunKind;
use keywright_store::TraceStatus;

use crate::hooked::Hook;
use crate::world::{Ask, World, in_time};

const TRACED: Ask = Ask { session: None, is_trace_wanted: true, ..Ask::new(RunKind::Api) };

#[tokio::test]
async fn a_clean_trace_is_stored() {
    let world = World::new();
    let server = world.start().await;
    world.site.trace(Ok("clean"));
    let (run, _) = server.finish(TRACED).await;
    let attempts = server.until_attempts(&run, |attempts| attempts[0].trace != TraceStatus::Pending).await;
    let TraceStatus::Stored(key) = &attempts[0].trace else { panic!("{attempts:?}") };
    let bytes = server.blobs.get(&world.workspace, key).await.unwrap().unwrap();
    assert_eq!(bytes, "clean");
}

#[tokio::test]
async fn a_trace_that_cannot_be_cleaned_is_dropped_with_the_reason() {
    let world = World::new();
    let server = world.start().await;
    world.site.trace(Err("a secret is left in it"));
    let (run, _) = server.finish(TRACED).await;
    let attempts = server.until_attempts(&run, |attempts| attempts[0].trace != TraceStatus::Pending).await;
    assert_eq!(attempts[0].trace, TraceStatus::Dropped("a secret is left in it".to_owned()));
}

#[test]
fn a_trace_that_was_pending_at_a_crash_is_dropped_by_the_next_life() {
    let world = World::new();
    world.site.trace(Ok("clean"));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let run = first.block_on(async {
        let hook = Hook::when(|name| name == "before file_trace");
        let mut server = world.open(std::sync::Arc::clone(&hook)).await;
        server.deploy().await;
        server.begin().await;
        let run = server.ask(TRACED).await;
        in_time(hook.reached()).await;
        run
    });
    drop(first);
    runtime().block_on(async {
        let mut server = world.open(Hook::never()).await;
        assert_eq!(server.attempts(&run).await[0].trace, TraceStatus::Pending);
        server.begin().await;
        let TraceStatus::Dropped(why) = server.attempts(&run).await.remove(0).trace else { panic!() };
        assert_eq!(why, "the worker was lost before the trace was cleaned");
    });
}
