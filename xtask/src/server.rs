//! A Keywright server as a child process, and requests to it over one kept connection.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::command::{output, program};
use crate::machine::runtime_dir;

/// Longest time an operation of the demo or a benchmark may take.
const MAX_WAIT: Duration = Duration::from_secs(120);
/// Longest time one request may take.
const MAX_REQUEST: Duration = Duration::from_secs(30);
/// How often a result is asked for: often enough that a benchmark does not measure the waiting.
const POLL: Duration = Duration::from_millis(4);

/// The running server; ended by TERM when dropped.
pub(crate) struct Server {
    child: Child,
    binary: PathBuf,
    http: ureq::Agent,
    pub(crate) url: String,
    pub(crate) workspace_id: String,
    pub(crate) api_key: String,
}

impl Server {
    /// Starts it on a free port with a data folder that was never used, and waits until it is ready.
    pub(crate) fn start(binary: &Path, data_dir: &Path, log: &Path) -> anyhow::Result<Self> {
        let mut child = program(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .arg("--runtime-dir")
            .arg(runtime_dir())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?)
            .spawn()
            .context("cannot start keywright")?;
        let stdout = child.stdout.take().context("keywright has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value =
            serde_json::from_str(&line).with_context(|| format!("the server did not start; its log is {}", log.display()))?;
        let text = |name: &str| ready[name].as_str().map(str::to_owned).with_context(|| format!("no `{name}` in {line}"));
        // Every status is an answer to be looked at; only a broken connection is an error.
        let http = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(MAX_REQUEST)).build().into();
        Ok(Self {
            http,
            url: text("url")?,
            workspace_id: text("workspaceId")?,
            api_key: text("apiKey")?,
            child,
            binary: binary.to_owned(),
        })
    }

    /// Deploys a project's folder with the CLI.
    pub(crate) fn deploy(&self, folder: &str) -> anyhow::Result<Value> {
        let printed = output(
            program(&self.binary)
                .args(["deploy", folder, "--json"])
                .env("KEYWRIGHT_URL", &self.url)
                .env("KEYWRIGHT_API_KEY", &self.api_key)
                .env("KEYWRIGHT_WORKSPACE_ID", &self.workspace_id),
        )?;
        serde_json::from_str(&printed).context("deploy did not print JSON")
    }

    /// The path below the workspace's base.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}/api/v1/workspace/{}/{path}", self.url, self.workspace_id)
    }

    /// One request; the answer's status and body.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(self.address(path)).header("x-api-key", &self.api_key);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let mut answer = self.http.run(request.body(body.map(Value::to_string).unwrap_or_default())?)?;
        let text = answer.body_mut().read_to_string()?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).with_context(|| text.clone())? };
        Ok((answer.status().as_u16(), body))
    }

    /// Saves what a GET answers with in a file.
    pub(crate) fn download(&self, path: &str, file: &Path) -> anyhow::Result<()> {
        let mut answer = self.http.get(self.address(path)).header("x-api-key", &self.api_key).call()?;
        if !answer.status().is_success() {
            bail!("{path} answered {}", answer.status());
        }
        std::io::copy(&mut answer.body_mut().as_reader(), &mut std::fs::File::create(file)?)?;
        Ok(())
    }

    /// Asks for a result until its status is none of `unfinished`.
    pub(crate) fn wait(&self, path: &str, unfinished: &[&str], mut each: impl FnMut(&str)) -> anyhow::Result<Value> {
        let started = Instant::now();
        while started.elapsed() < MAX_WAIT {
            let (_, answer) = self.request("GET", path, None)?;
            let status = answer["status"].as_str().with_context(|| format!("no status in {answer}"))?;
            each(status);
            if !unfinished.contains(&status) {
                return Ok(answer);
            }
            std::thread::sleep(POLL);
        }
        bail!("{path} is not finished after {MAX_WAIT:?}")
    }

    /// Waits until somebody ends the server.
    pub(crate) fn wait_for_end(&mut self) -> anyhow::Result<()> {
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // TERM lets it end its browsers in order; only when that is not possible is it killed.
        let asked = program("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if asked.is_ok_and(|status| status.success()) {
            let _gone = self.child.wait();
        } else {
            let _gone = self.child.kill();
        }
    }
}
