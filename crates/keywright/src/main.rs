//! The one binary: server, and the commands that talk to a server.
//!
//! stdout is data (one line of JSON, or what a command was asked for), stderr is talk. Exit codes: 0 done, 1 it could not be
//! done, 2 the command line or the configuration is wrong.

mod adapter;
mod cli;
mod commands;
mod config;
#[cfg(feature = "failpoints")]
mod failpoints;
mod logging;
mod serve;
#[cfg(feature = "failpoints")]
mod stub_executor;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::config::InvalidConfig;

/// The command line or the configuration is wrong.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("keywright: the asynchronous runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("keywright: {error:#}");
            if error.is::<InvalidConfig>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(options) => Box::pin(serve::serve(options)).await.map(|()| ExitCode::SUCCESS),
        Command::Deploy(options) => commands::deploy::deploy(options).await,
        Command::Keys(options) => commands::keys::keys(options).await,
        Command::Setup(options) => commands::setup::setup(options).await,
        Command::Verify(options) => Ok(commands::verify::verify(*options).await),
        Command::Doctor(options) => commands::doctor::doctor(*options).await,
        Command::Backup(options) => commands::backup::backup(*options).await,
        Command::Restore(options) => commands::restore::restore(options).await,
    }
}
