//! The chores of this repository: `cargo xtask demo`, `cargo xtask test`, `cargo xtask bench`.
//!
//! Each installs what the machine lacks, starts what it needs and stops it again. Nothing here is part of the product.
#![expect(clippy::disallowed_methods, reason = "a task runner starts processes, reads the environment and measures time")]

mod bench;
mod command;
mod demo;
mod machine;
mod server;
mod site;
mod test;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The main job, end to end, on the bundled site: log in, expire, heal, run
    Demo {
        /// Keep server and site running afterwards, until Ctrl-C
        #[arg(long)]
        keep: bool,
    },
    /// Every test there is
    Test {
        /// Passed on to nextest, to run some of the Rust tests only; the other suites are then left out
        #[arg(last = true)]
        filter: Vec<String>,
    },
    /// Logins and runs beside a bare Playwright script, as ratios
    Bench {
        /// Repetitions of each measurement
        #[arg(long, default_value_t = 7)]
        repetitions: usize,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Demo { keep } => demo::demo(keep),
        Task::Test { filter } => test::test(&filter),
        Task::Bench { repetitions } => bench::bench(repetitions),
    }
}
