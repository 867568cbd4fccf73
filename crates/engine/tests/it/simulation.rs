//! Chance: several sessions and runs, attempts that end in any way, cancellations, deletions, and servers that die at any
//! moment. Whatever happens, the promises hold. A failure names its seed.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use keywright_domain::{AttemptCode, RunId, RunKind, RunState, SessionStatus, Stage};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::hooked::Hook;
use crate::script::{Act, check_fails, failure, throws};
use crate::world::{Ask, Server, World, in_time};

/// How many worlds are played.
const SEEDS: u64 = 12;

/// Lives that may be cut short; the one after them goes on to the end.
const MAX_DEATHS: usize = 8;

const SESSIONS: [&str; 2] = ["ada", "bob"];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

struct Asked {
    run: RunId,
    ask: Ask,
}

fn chosen(rng: &mut StdRng, stage: Stage) -> Act {
    match (rng.random_range(0..10), stage) {
        (0, _) => failure(AttemptCode::InternalServerError),
        (1, _) => throws(),
        (2, _) => failure(AttemptCode::ScriptTimeout),
        (3 | 4, Stage::Check | Stage::PostCheck) => check_fails(),
        (0..10, _) => Act::Succeed,
        (_, _) => unreachable!("the range ends at ten"),
    }
}

async fn ask_for_something(server: &Server<'_>, rng: &mut StdRng) -> Option<Asked> {
    let kind =
        [RunKind::Create, RunKind::Update, RunKind::Validate, RunKind::Api, RunKind::Api, RunKind::Api][rng.random_range(0..6)];
    let session = SESSIONS[rng.random_range(0..SESSIONS.len())];
    let is_there = server.store.find_auth_session(&server.world.project, session).await.unwrap().is_some();
    let needs_none = kind == RunKind::Api && rng.random_bool(0.2);
    if !is_there && !needs_none && kind != RunKind::Create {
        return None;
    }
    let ask = Ask {
        session: (!needs_none).then_some(session),
        attempts: rng.random_range(1..4),
        may_recreate: rng.random_bool(0.7),
        ..Ask::new(kind)
    };
    Some(Asked { run: server.ask(ask).await, ask })
}

/// One life: asks, interferes, and goes on until it dies or everything has ended.
async fn live(server: &mut Server<'_>, rng: &mut StdRng, asked: &mut Vec<Asked>, hook: &Hook, asks: usize) -> bool {
    let work = async {
        for _ in 0..asks {
            asked.extend(ask_for_something(server, rng).await);
        }
        server.begin().await;
        if rng.random_bool(0.3) && !asked.is_empty() {
            server.cancel(&asked[rng.random_range(0..asked.len())].run).await;
        }
        if rng.random_bool(0.15) {
            let session = SESSIONS[rng.random_range(0..SESSIONS.len())];
            server.store.delete_auth_session(&server.world.project, session).await.unwrap();
        }
        for one in asked.iter() {
            server.ended(&one.run).await;
        }
    };
    tokio::select! {
        biased;
        _ = hook.reached() => true,
        () = work => false,
    }
}

/// Plays one world and judges it. Returns how often its server died.
fn play(seed: u64) -> usize {
    let mut deaths = 0;
    let world = World::new();
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let mut own = StdRng::seed_from_u64(seed ^ 0xffff);
    let acts = Arc::clone(&rng);
    world.site.choose(move |order| chosen(&mut acts.lock().unwrap(), order.stage));
    let (mut asked, mut ends) = (Vec::new(), HashMap::<RunId, RunState>::new());
    runtime().block_on(async { world.open(Hook::never()).await.deploy().await });

    for life in 0..=MAX_DEATHS {
        let runtime_of_life = runtime();
        let dice = Arc::clone(&rng);
        let hook = Hook::when(move |_| life < MAX_DEATHS && dice.lock().unwrap().random_bool(0.04));
        runtime_of_life.block_on(async {
            let mut server = world.open(Arc::clone(&hook)).await;
            let asks = if life < MAX_DEATHS { 3 } else { 0 };
            deaths += usize::from(in_time(live(&mut server, &mut own, &mut asked, &hook, asks)).await);
        });
        drop(runtime_of_life);
        runtime().block_on(async {
            let server = world.open(Hook::never()).await;
            for one in &asked {
                let state = server.output(&one.run).await.state;
                if let Some(end) = ends.get(&one.run) {
                    assert_eq!(state, *end, "an end does not change");
                }
                if state.is_terminal() {
                    ends.insert(one.run.clone(), state);
                }
            }
        });
    }
    assert_eq!(ends.len(), asked.len(), "everything that was accepted has ended");
    judge(&world, &asked);
    runtime().block_on(judge_store(&world, &asked));
    deaths
}

/// What the site saw keeps the promises.
fn judge(world: &World, asked: &[Asked]) {
    assert!(world.site.most_in_flight() <= 1, "one attempt at a time holds a session");
    for one in asked {
        let visits: Vec<_> = world.site.visits().into_iter().filter(|visit| visit.run == one.run).collect();
        for stage in [Stage::Check, Stage::Create, Stage::PostCheck, Stage::Api] {
            let starts = visits.iter().filter(|visit| visit.stage == stage).count();
            assert!(i64::try_from(starts).unwrap() <= one.ask.attempts, "{stage:?} started {starts} times: {:?}", one.ask);
        }
        let first_api = visits.iter().position(|visit| visit.stage == Stage::Api);
        if let (Some(first), Some(_)) = (first_api, one.ask.session) {
            assert!(visits[..first].iter().any(|visit| visit.has_passed), "the API started without a passed check");
        }
    }
}

/// What is stored keeps the promises.
async fn judge_store(world: &World, asked: &[Asked]) {
    let server = world.open(Hook::never()).await;
    for one in asked {
        let attempts = server.attempts(&one.run).await;
        assert!(attempts.iter().all(|attempt| attempt.outcome.is_some()), "no attempt is left open");
        let output = server.output(&one.run).await;
        assert_eq!(output.result.is_some(), one.ask.kind == RunKind::Api && output.state == RunState::Completed);
    }
    for session in server.store.list_auth_sessions(&world.project).await.unwrap() {
        assert_ne!(session.status, SessionStatus::Pending, "nobody is logging in any more");
        let secrets = server.store.session_secrets(&session.key).await.unwrap().unwrap();
        assert_eq!(secrets.state.is_some(), session.generation > 0);
    }
}

#[test]
fn whatever_happens_the_promises_hold() {
    let mut deaths = 0;
    for seed in 0..SEEDS {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok(count) => deaths += count,
            Err(panic) => {
                eprintln!("the seed is {seed}");
                resume_unwind(panic);
            }
        }
    }
    assert!(deaths > usize::try_from(SEEDS).unwrap(), "servers died {deaths} times, which proves little");
}
