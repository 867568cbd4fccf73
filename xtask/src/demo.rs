//! The main job, end to end, as a person would do it with curl: deploy both examples, log in, validate, lose the login, see
//! it heal, run an API, and be told where the trace lies.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::command::target;
use crate::machine::{Profile, build, install_packages};
use crate::server::Server;
use crate::site::Site;

/// How often the cleaning of traces is asked about, and how many times before it is given up.
const POLL: Duration = Duration::from_millis(50);
const MAX_TRACE_POLLS: u32 = 600;

/// Plays the demo; with `keep`, leaves server and site running until they are interrupted.
pub(crate) fn demo(keep: bool) -> anyhow::Result<()> {
    install_packages()?;
    let binary = build(Profile::Release)?;
    let folder = tempfile::Builder::new().prefix("keywright-demo-").tempdir()?;
    let data_dir = folder.path().join("data");
    let log = folder.path().join("server.log");

    let started = Instant::now();
    let site = Site::start()?;
    let mut server = Server::start(&binary, &data_dir, &log)?;
    say(&format!("The server listens on {}, the example site on {}.", server.url, site.url));

    for example in ["examples/shop-ts", "examples/shop-py"] {
        say(&format!("keywright deploy {example}"));
        let deployment = server.deploy(example)?;
        for warning in deployment["warnings"].as_array().into_iter().flatten() {
            println!("  note: {}: {}", text(&warning["file"]), text(&warning["message"]));
        }
        println!("  {} is {}", text(&deployment["projectName"]), text(&deployment["status"]));
    }

    for project in ["shop-ts", "shop-py"] {
        log_in_and_work(&server, &site, project)?;
    }

    say(&format!("Done in {:.1} s.", started.elapsed().as_secs_f64()));
    if keep {
        println!("The server keeps running; press Ctrl-C to end it. To use it from another terminal:\n");
        println!(
            "  export KEYWRIGHT_URL={} KEYWRIGHT_WORKSPACE_ID={} KEYWRIGHT_API_KEY={}",
            server.url, server.workspace_id, server.api_key
        );
        println!("  {} deploy DIR\n  {}/docs", binary.display(), server.url);
        server.wait_for_end()?;
    } else {
        println!("To keep server and site running: cargo xtask demo --keep");
        println!("To start a server of your own:  {} serve --data-dir ./data", binary.display());
    }
    Ok(())
}

fn log_in_and_work(server: &Server, site: &Site, project: &str) -> anyhow::Result<()> {
    let base = format!("projects/{project}");
    let login = json!({
        "id": "ada", "parameters": {"username": "ada", "password": "lovelace-1815", "baseUrl": site.url},
        "createAttempts": 3, "checkAttempts": 3, "saveTrace": true,
    });

    say(&format!("{project}: log in"));
    let started = send(server, "POST", &format!("{base}/auth-sessions/create"), Some(&login))?;
    let operation = text(&started["operationId"]).to_owned();
    let result = follow(server, &format!("{base}/auth-sessions/create/{operation}/result"))?;
    println!("{result}");
    ensure!(result["status"] == "done", "the login did not succeed: {result}");

    say(&format!("{project}: is the login still good?"));
    let started = send(server, "POST", &format!("{base}/auth-sessions/ada/validate/start"), Some(&json!({})))?;
    let operation_of_check = text(&started["operationId"]).to_owned();
    let result = follow(server, &format!("{base}/auth-sessions/ada/validate/{operation_of_check}/result"))?;
    println!("{result}");

    say(&format!("{project}: the site forgets every login; the next run finds out, logs in again and works"));
    site.control("expire")?;
    let run = json!({"api": "orders", "parameters": {"baseUrl": site.url, "limit": 3}, "authSession": {"id": "ada"}});
    let started = send(server, "POST", &format!("{base}/run/start"), Some(&run))?;
    let run_id = text(&started["runId"]).to_owned();
    let result = follow(server, &format!("{base}/run/{run_id}/result"))?;
    ensure!(result["status"] == "completed", "the run did not complete: {result}");
    println!("{}", serde_json::to_string_pretty(&result)?);

    let attempts = finished_attempts(server, &format!("{base}/run/{run_id}/attempts"))?;
    for attempt in &attempts {
        println!("  attempt {} ({}): {}", attempt["number"], text(&attempt["stage"]), text(&attempt["status"]));
    }
    let last = attempts.last().context("the run has no attempts")?;
    let trace = target().join(format!("demo-{project}-trace.zip"));
    server.download(&format!("{base}/run/{run_id}/attempts/{}/trace", last["number"]), &trace)?;
    println!(
        "  the trace of the last attempt lies in {}; any Playwright opens it: npx playwright show-trace FILE",
        trace.display()
    );
    Ok(())
}

/// The attempts of a run once their traces are cleaned and stored, which happens off the answer's path.
fn finished_attempts(server: &Server, path: &str) -> anyhow::Result<Vec<Value>> {
    for _ in 0..MAX_TRACE_POLLS {
        let (_, answer) = server.request("GET", path, None)?;
        let attempts = answer["attempts"].as_array().context("the run has no attempts")?;
        if attempts.iter().all(|attempt| attempt["trace"]["status"] != "pending") {
            return Ok(attempts.clone());
        }
        std::thread::sleep(POLL);
    }
    bail!("the traces of {path} are still being cleaned")
}

/// Sends a request the way curl shows it.
fn send(server: &Server, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    println!("$ curl -X {method} {} -H 'x-api-key: …' -H 'content-type: application/json' \\", server.address(path));
    if let Some(body) = body {
        println!("    -d '{body}'");
    }
    let (status, answer) = server.request(method, path, body)?;
    println!("{status} {answer}");
    ensure!(status < 300, "{method} {path} answered {status}: {answer}");
    Ok(answer)
}

/// Polls a result and shows every change of its status.
fn follow(server: &Server, path: &str) -> anyhow::Result<Value> {
    let started = Instant::now();
    let mut shown = String::new();
    let answer = server.wait(path, &["pending", "in_progress", "started"], |status| {
        if shown != status {
            println!("  {:>6} ms  {status}", started.elapsed().as_millis());
            status.clone_into(&mut shown);
        }
    })?;
    Ok(answer)
}

fn say(line: &str) {
    println!("\n\u{2014} {line}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
