//! Logins and runs beside a bare Playwright script doing the same, taken alternately, reported as ratios of medians. One JSON
//! line per figure on stdout. This machine may be noisy: the ratio is the figure, the milliseconds are its illustration.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::command::program;
use crate::machine::{Profile, build, install_packages, npm_ci};
use crate::server::Server;
use crate::site::Site;

/// Measures everything and prints one line per figure.
pub(crate) fn bench(repetitions: usize) -> anyhow::Result<()> {
    install_packages()?;
    npm_ci("runners/node")?;
    let binary = build(Profile::Release)?;
    let folder = tempfile::tempdir()?;
    let site = Site::start()?;

    let started = Instant::now();
    let server = Server::start(&binary, &folder.path().join("data"), &folder.path().join("server.log"))?;
    let start_ms = milliseconds(started);
    server.deploy("examples/shop-ts")?;
    server.deploy("examples/shop-py")?;
    let mut bare = Bare::start(&site.url)?;

    let mut create_ts = Vec::new();
    let mut create_py = Vec::new();
    let mut run_ts = Vec::new();
    let mut bare_login = Vec::new();
    let mut bare_run = Vec::new();
    let mut bare_cold = Vec::new();
    // The first round warms caches on both sides and is not counted.
    for round in 0..=repetitions {
        let keep = |list: &mut Vec<f64>, value: f64| {
            if round > 0 {
                list.push(value);
            }
        };
        keep(&mut bare_login, bare.measure("login-and-check")?);
        keep(&mut create_ts, create(&server, &site, "shop-ts")?);
        keep(&mut create_py, create(&server, &site, "shop-py")?);
        keep(&mut bare_run, bare.measure("check-and-orders")?);
        keep(&mut run_ts, orders(&server, &site, "shop-ts")?);
        keep(&mut bare_cold, cold_script(&site.url)?);
    }

    let cold_folder = tempfile::tempdir()?;
    let cold_server = Server::start(&binary, &cold_folder.path().join("data"), &cold_folder.path().join("server.log"))?;
    cold_server.deploy("examples/shop-ts")?;
    let create_cold = create(&cold_server, &site, "shop-ts")?;

    report("T1 create, warm, TypeScript / warm bare login + check", &create_ts, &bare_login);
    report("T1 create, warm, Python / warm bare login + check", &create_py, &bare_login);
    report("T2 create, warm, TypeScript / cold bare login", &create_ts, &bare_cold);
    report("T3 first create of a fresh server / cold bare login", &[create_cold], &bare_cold);
    report("T5 run with check / warm bare check + the same work", &run_ts, &bare_run);
    println!("{}", json!({"figure": "server start to ready", "ms": start_ms}));
    Ok(())
}

fn create(server: &Server, site: &Site, project: &str) -> anyhow::Result<f64> {
    let body = json!({"id": "ada", "saveTrace": false, "parameters": {"username": "ada", "password": "lovelace-1815", "baseUrl": site.url}});
    let started = Instant::now();
    let (status, answer) = server.request("POST", &format!("projects/{project}/auth-sessions/create"), Some(&body))?;
    ensure!(status == 201, "create answered {status}: {answer}");
    let operation = answer["operationId"].as_str().context("no operationId")?.to_owned();
    let path = format!("projects/{project}/auth-sessions/create/{operation}/result");
    let result = server.wait(&path, &["pending", "in_progress"], |_| {})?;
    ensure!(result["status"] == "done", "the login failed: {result}");
    Ok(milliseconds(started))
}

fn orders(server: &Server, site: &Site, project: &str) -> anyhow::Result<f64> {
    let body = json!({"api": "orders", "saveTrace": false, "parameters": {"baseUrl": site.url, "limit": 3}, "authSession": {"id": "ada", "saveTrace": false}});
    let started = Instant::now();
    let (status, answer) = server.request("POST", &format!("projects/{project}/run/start"), Some(&body))?;
    ensure!(status == 201, "run answered {status}: {answer}");
    let run = answer["runId"].as_str().context("no runId")?.to_owned();
    let result = server.wait(&format!("projects/{project}/run/{run}/result"), &["pending", "started"], |_| {})?;
    ensure!(result["status"] == "completed", "the run failed: {result}");
    Ok(milliseconds(started))
}

fn cold_script(site: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    crate::command::output(program("node").args(["xtask/bench/bare.mjs", site, "once"]))?;
    Ok(milliseconds(started))
}

/// A warm bare Playwright script that does one thing a line.
struct Bare {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Bare {
    fn start(site: &str) -> anyhow::Result<Self> {
        let mut child = program("node")
            .args(["xtask/bench/bare.mjs", site, "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the bare script")?;
        let input = child.stdin.take().context("the bare script has no stdin")?;
        let output = BufReader::new(child.stdout.take().context("the bare script has no stdout")?);
        Ok(Self { child, input, output })
    }

    fn measure(&mut self, what: &str) -> anyhow::Result<f64> {
        writeln!(self.input, "{what}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).with_context(|| format!("the bare script said {line:?}"))?;
        answer["ms"].as_f64().context("the bare script named no time")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn report(figure: &str, ours: &[f64], theirs: &[f64]) {
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = (ours / theirs * 100.0).round() / 100.0;
    println!("{}", json!({"figure": figure, "ratio": ratio, "ours_ms": ours.round(), "bare_ms": theirs.round()}));
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}
