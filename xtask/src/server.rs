//! A Keywright server as a child process, and requests to it by curl, the way a person would send them.

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
/// How often a result is asked for.
const POLL: Duration = Duration::from_millis(20);

/// The running server; ended by TERM when dropped.
pub(crate) struct Server {
    child: Child,
    binary: PathBuf,
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
        Ok(Self {
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
        let mut command = program("curl");
        command.args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}", "--request", method]);
        command.args(["--header", &format!("x-api-key: {}", self.api_key)]);
        if let Some(body) = body {
            command.args(["--header", "content-type: application/json", "--data", &body.to_string()]);
        }
        let printed = output(command.arg(self.address(path)))?;
        let (body, status) = printed.rsplit_once('\n').context("curl printed no status")?;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).with_context(|| body.to_owned())? };
        Ok((status.parse()?, body))
    }

    /// Saves what a GET answers with in a file.
    pub(crate) fn download(&self, path: &str, file: &Path) -> anyhow::Result<()> {
        let mut command = program("curl");
        command.args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "30",
            "--header",
            &format!("x-api-key: {}", self.api_key),
        ]);
        output(command.arg("--output").arg(file).arg(self.address(path))).map(drop)
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
