//! A3 of the acceptance programme: worlds by the hour, each from its own seed, and with every planted bug until it is caught.
//!
//! Prints one JSON line. Ends with a failure, its seed and the last of what happened when a promise is broken, or when a
//! planted bug is not found. `--seed N` begins with that seed, `--worlds N` plays so many, `--seconds N` for so long, `--trace`
//! prints everything of what is played, `--postgres FOLDER` plays over the empty PostgreSQL whose socket is there, `--bug NAME` looks for one planted bug.

#![expect(clippy::unwrap_used, reason = "it breaks where something is wrong")]

#[path = "../tests/simulation/world/mod.rs"]
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;

use world::{Backend, Play};

/// How long worlds are played.
const QUICK: Duration = Duration::from_secs(8 * 60);
const LONG: Duration = Duration::from_secs(4 * 60 * 60);

/// Things asked for in each world.
const ASKS: u64 = 60;

/// Worlds in which a planted bug has to be found.
#[cfg(feature = "planted-bugs")]
const WORLDS_FOR_A_BUG: u64 = 100;

struct Arguments {
    time: Duration,
    seed: u64,
    worlds: u64,
    is_trace_printed: bool,
    postgres: Option<String>,
    bug: Option<String>,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { time: QUICK, seed: 0, worlds: u64::MAX, is_trace_printed: false, postgres: None, bug: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match argument.as_str() {
            "--quick" => arguments.time = QUICK,
            "--long" => arguments.time = LONG,
            "--seed" => arguments.seed = number(),
            "--worlds" => arguments.worlds = number(),
            "--seconds" => arguments.time = Duration::from_secs(number()),
            "--trace" => arguments.is_trace_printed = true,
            "--postgres" => arguments.postgres = given.next(),
            "--bug" => arguments.bug = given.next(),
            other => panic!("{other} is not known"),
        }
    }
    arguments
}

fn play(seed: u64, is_trace_kept: bool) -> Play {
    let fast = Path::new("/dev/shm");
    let parent = if fast.is_dir() { fast.to_owned() } else { std::env::temp_dir() };
    Play { backend: Backend::Sqlite(parent), seed, asks: ASKS, is_trace_kept }
}

/// Looks for every planted bug. Returns those that were not found.
#[cfg(feature = "planted-bugs")]
fn missed_bugs(arguments: &Arguments, stores: &tokio::runtime::Handle) -> Vec<String> {
    use keywright_store::planted::{PlantedBug, plant};

    let mut missed = Vec::new();
    for bug in PlantedBug::ALL {
        let name = format!("{bug:?}");
        if arguments.bug.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        plant(Some(bug));
        let begun = Instant::now();
        let seeds = arguments.seed..arguments.seed + WORLDS_FOR_A_BUG;
        let found = seeds.into_iter().find_map(|seed| play(seed, false).run(stores).err());
        plant(None);
        match found {
            Some(failure) => {
                let (worlds, what) = (failure.seed - arguments.seed + 1, &failure.what);
                eprintln!("{name}: found in world {worlds} after {:.1} s: {what}", begun.elapsed().as_secs_f64());
            }
            None => {
                eprintln!("{name}: NOT FOUND in {WORLDS_FOR_A_BUG} worlds");
                missed.push(name);
            }
        }
    }
    missed
}

#[cfg(not(feature = "planted-bugs"))]
fn missed_bugs(_arguments: &Arguments, _stores: &tokio::runtime::Handle) -> Vec<String> {
    Vec::new()
}

/// A world over an empty database of the server whose socket is in this folder.
fn play_on(folder: &str, stores: &Runtime, seed: u64) -> Play {
    let (name, server) = (format!("world_{seed}"), PgConnectOptions::new_without_pgpass().socket(folder).username("postgres"));
    stores.block_on(async {
        let mut connection = server.database("postgres").connect().await.unwrap();
        let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    Play { backend: Backend::Postgres(format!("postgres://postgres@/{name}?host={folder}")), ..play(seed, false) }
}

fn main() -> ExitCode {
    let arguments = arguments();
    let stores = world::store_runtime();
    let (begun, mut worlds, mut steps, mut runs, mut executions, mut virtual_s) = (Instant::now(), 0, 0, 0, 0, 0);
    let mut failures = Vec::new();
    while arguments.bug.is_none() && worlds < arguments.worlds && begun.elapsed() < arguments.time {
        let seed = arguments.seed + worlds;
        let next = arguments.postgres.as_ref().map(|folder| play_on(folder, &stores, seed));
        match next.unwrap_or_else(|| play(seed, arguments.is_trace_printed)).run(stores.handle()) {
            Ok(figures) => {
                steps += figures.steps;
                runs += figures.runs;
                executions += figures.executions;
                virtual_s += figures.virtual_s;
                figures.trace.iter().for_each(|line| eprintln!("{line}"));
                if arguments.is_trace_printed {
                    eprintln!("the sum of it is {:x}", figures.sum);
                }
            }
            Err(failure) => {
                eprintln!("{failure}");
                failures.push(failure);
                if failures.len() >= 5 {
                    break;
                }
            }
        }
        worlds += 1;
    }
    let played_s = begun.elapsed().as_secs_f64();
    let missed = if arguments.postgres.is_some() { Vec::new() } else { missed_bugs(&arguments, stores.handle()) };
    let violations = failures.len() + missed.len();
    println!(
        "{}",
        serde_json::json!({
            "id": "A3", "backend": if arguments.postgres.is_some() { "postgres" } else { "sqlite" }, "seed": arguments.seed, "n": worlds, "violations": violations,
            "p50": null, "p99": null, "max": null,
            "steps": steps, "runs": runs, "executions": executions, "virtual_s": virtual_s, "played_s": played_s,
            "missed_bugs": missed,
        })
    );
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
