//! `keywright doctor`: whether this machine has what a server needs, given the options that the server is started with.
//!
//! Looks at one thing after another and goes on whatever it finds, beside a running server or without one. It writes two things
//! and removes them again: a folder in which a runner and its browser are tried, and a blob. Exit codes: 0 nothing fails, 1
//! something does, 2 the configuration is wrong.

mod machine;
mod storage;

use std::process::ExitCode;

use serde_json::json;

use crate::cli::DoctorOptions;
use crate::config::Config;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As it should be.
    Ok,
    /// A server runs, with less than it could have.
    Warn,
    /// A server does not run, or loses something.
    Fail,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
struct Line {
    what: &'static str,
    state: State,
    /// How it is, and what to do about it.
    text: String,
}

impl Line {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Ok, text: text.into() }
    }

    fn warn(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Warn, text: text.into() }
    }

    fn fail(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Fail, text: text.into() }
    }
}

/// Looks at everything and says how it is.
pub(crate) async fn doctor(options: DoctorOptions) -> anyhow::Result<ExitCode> {
    let config = Config::load(options.server)?;
    let mut lines = machine::look(&config).await;
    lines.extend(storage::look(&config).await);
    let fails = lines.iter().any(|line| line.state == State::Fail);
    if options.json {
        let lines: Vec<_> =
            lines.iter().map(|line| json!({"what": line.what, "state": line.state.as_str(), "text": line.text})).collect();
        println!("{}", json!({"isHealthy": !fails, "checks": lines}));
    } else {
        for line in &lines {
            println!("{:4}  {}: {}", line.state.as_str(), line.what, line.text);
        }
    }
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
