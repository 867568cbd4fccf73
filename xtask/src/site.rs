//! The example site as a child process.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use anyhow::Context as _;

use crate::command::program;

/// The running site; stopped when dropped.
pub(crate) struct Site {
    child: Child,
    pub(crate) url: String,
}

impl Site {
    /// Starts it on a free port.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut child = program("node")
            .args(["examples/site/server.mjs", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the example site")?;
        let stdout = child.stdout.take().context("the example site has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line).context("the example site did not say that it is ready")?;
        let url = ready["url"].as_str().context("the example site did not name its url")?.to_owned();
        Ok(Self { child, url })
    }

    /// Turns one of its knobs.
    pub(crate) fn control(&self, name: &str) -> anyhow::Result<()> {
        ureq::post(format!("{}/__control/{name}", self.url)).send_json(serde_json::json!({}))?;
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}
