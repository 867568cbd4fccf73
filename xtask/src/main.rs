//! The chores of this repository: `cargo xtask demo`, `cargo xtask test`, `cargo xtask bench`, `cargo xtask accept`.
//!
//! Each installs what the machine lacks, starts what it needs and stops it again. Nothing here is part of the product.
#![expect(clippy::disallowed_methods, reason = "a task runner starts processes, reads the environment and measures time")]

mod accept;
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
    /// The acceptance programme (docs/RELIABILITY.md): one line of JSON for each figure, non-zero when a promise is broken
    Accept {
        /// Which figures, such as A1; all of them when none is named
        ids: Vec<String>,
        /// Minutes for each; what is measured unless --long is given
        #[arg(long, conflicts_with = "long")]
        quick: bool,
        /// Hours for each
        #[arg(long)]
        long: bool,
        /// Repeats what was tried with this seed; otherwise each figure gets a fresh one, which its line names
        #[arg(long)]
        seed: Option<u32>,
        /// Only shows which figures there are
        #[arg(long)]
        list: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Demo { keep } => demo::demo(keep),
        Task::Test { filter } => test::test(&filter),
        Task::Bench { repetitions } => bench::bench(repetitions),
        Task::Accept { list: true, .. } => {
            accept::list();
            Ok(())
        }
        Task::Accept { ids, quick: _, long, seed, list: false } => {
            accept::accept(&ids, if long { accept::Size::Long } else { accept::Size::Quick }, seed)
        }
    }
}
