//! The server dies at every moment of a login and of a healing run, one after the other, and the next life ends it once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keywright_domain::{RunId, RunKind, RunState, Stage};

use crate::hooked::Hook;
use crate::script::check_fails;
use crate::world::{Ask, World, in_time};

/// Moments that every kind of run passes.
const MOMENTS: [&str; 12] = [
    "after claim_runs",
    "before session_secrets",
    "after session_secrets",
    "before get_deployment",
    "after get_deployment",
    "before begin_attempt",
    "after begin_attempt",
    "before execute",
    "during execute",
    "after execute",
    "before commit_run",
    "after commit_run",
];

/// More moments than any of these runs has.
const MAX_MOMENTS: usize = 500;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Kills the server at its `moment`th moment of the run, then lets it live. Returns where that was; nothing if the run ended
/// before.
fn die_at(moment: usize, ask: Ask, prepare: impl Fn(&World), check: impl Fn(&World, &RunId, &RunState)) -> Option<&'static str> {
    let world = World::new();
    let first = runtime();
    first.block_on(async {
        let mut server = world.open(Hook::never()).await;
        server.deploy().await;
        if ask.kind != RunKind::Create {
            server.begin().await;
            assert_eq!(server.finish(Ask::new(RunKind::Create)).await.1, RunState::Completed);
        }
    });
    drop(first);
    prepare(&world);

    let second = runtime();
    let passed = Arc::new(AtomicUsize::new(0));
    let hook = Hook::when({
        let passed = Arc::clone(&passed);
        move |name| MOMENTS.contains(&name) && passed.fetch_add(1, Ordering::Relaxed) == moment
    });
    let (run, died) = second.block_on(async {
        let mut server = world.open(Arc::clone(&hook)).await;
        let run = server.ask(ask).await;
        server.begin().await;
        let died = tokio::select! {
            biased;
            name = hook.reached() => Some(name),
            _ = server.ended(&run) => None,
        };
        (run, died)
    });
    drop(second);

    runtime().block_on(async {
        let mut server = world.open(Hook::never()).await;
        let before = server.output(&run).await;
        server.begin().await;
        let state = server.ended(&run).await;
        if before.state.is_terminal() {
            assert_eq!(server.output(&run).await, before, "an end does not change");
        }
        assert!(server.attempts(&run).await.iter().all(|attempt| attempt.ended_at.is_some()));
        check(&world, &run, &state);
    });
    died
}

/// Dies at every moment there is, and checks that they were the expected ones.
fn die_everywhere(ask: Ask, prepare: impl Fn(&World), check: impl Fn(&World, &RunId, &RunState)) {
    let mut reached = BTreeSet::new();
    for moment in 0..MAX_MOMENTS {
        let Some(name) = die_at(moment, ask, &prepare, &check) else {
            let all: BTreeSet<_> = MOMENTS.into_iter().collect();
            assert_eq!(reached, all, "every kind of moment was tried");
            return;
        };
        reached.insert(name);
    }
    panic!("the run has more moments than it can have");
}

fn starts(world: &World, run: &RunId, stage: Stage) -> usize {
    world.site.stages(run).into_iter().filter(|started| *started == stage).count()
}

#[test]
fn a_login_survives_a_death_at_any_moment() {
    die_everywhere(
        Ask::new(RunKind::Create),
        |_| (),
        |world, run, state| {
            assert_eq!(*state, RunState::Completed);
            assert!(
                (1..=2).contains(&starts(world, run, Stage::Create)) && (1..=2).contains(&starts(world, run, Stage::PostCheck))
            );
        },
    );
}

#[test]
fn a_run_that_heals_its_login_survives_a_death_at_any_moment() {
    let ask = Ask { attempts: 3, ..Ask::new(RunKind::Api) };
    let prepare = |world: &World| {
        world.site.choose({
            let mut logins = 0;
            move |order| {
                logins += u32::from(order.stage == Stage::Create);
                match order.stage {
                    // The old login is dead for good; only a new one passes.
                    Stage::Check if logins == 0 => check_fails(),
                    Stage::Check | Stage::Create | Stage::PostCheck | Stage::Api => crate::script::Act::Succeed,
                }
            }
        })
    };
    die_everywhere(ask, prepare, |world, run, state| {
        assert_eq!(*state, RunState::Completed);
        assert!(starts(world, run, Stage::Check) <= 3 && starts(world, run, Stage::Create) <= 2);
        assert!((1..=2).contains(&starts(world, run, Stage::Api)));
    });
}

#[test]
fn with_one_attempt_user_code_starts_at_most_once() {
    let ask = Ask { attempts: 1, session: None, ..Ask::new(RunKind::Api) };
    for moment in 0..MAX_MOMENTS {
        let died = die_at(
            moment,
            ask,
            |_| (),
            |world, run, state| {
                assert!(starts(world, run, Stage::Api) <= 1);
                assert!(matches!(state, RunState::Completed | RunState::Failed(_)), "{state:?}");
            },
        );
        if died.is_none() {
            assert!(moment > 0);
            return;
        }
    }
    panic!("the run has more moments than it can have");
}

#[test]
fn a_server_that_dies_while_it_takes_up_what_was_left_can_be_started_again() {
    let world = World::new();
    let first = runtime();
    let run = first.block_on(async {
        let hook = Hook::when(|name| name == "during execute");
        let mut server = world.open(Arc::clone(&hook)).await;
        server.deploy().await;
        let run = server.ask(Ask::new(RunKind::Create)).await;
        server.begin().await;
        in_time(hook.reached()).await;
        run
    });
    drop(first);
    for moment in ["before register_worker", "after register_worker", "after claim_runs"] {
        let life = runtime();
        life.block_on(async {
            let hook = Hook::when(move |name| name == moment);
            let mut server = world.open(Arc::clone(&hook)).await;
            tokio::select! {
                biased;
                name = hook.reached() => assert_eq!(name, moment),
                () = async { server.begin().await; std::future::pending().await } => {}
            }
        });
        drop(life);
    }
    runtime().block_on(async {
        let mut server = world.open(Hook::never()).await;
        server.begin().await;
        assert_eq!(server.ended(&run).await, RunState::Completed);
        assert_eq!(starts(&world, &run, Stage::Create), 2);
    });
}
