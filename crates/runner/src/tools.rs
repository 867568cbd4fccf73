//! Runs one program to its end: an installer, a bundler, a question to an interpreter.
//!
//! Every run has a deadline and a bound on what is kept of its words. If it is not over by then, or its caller goes away,
//! everything it started is ended; if the server dies, the kernel ends it (see `spawn.rs`), and what escaped is found by
//! its marked environment at the next start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::spawn::{Exit, Launch, Spawner};
use crate::tree;

/// Most bytes kept of each stream: the beginning of stdout, which is an answer, and the end of stderr, where the reason is.
const MAX_KEPT_BYTES: usize = 2 * 1024 * 1024;

/// Most characters of a tool's own words in an error.
const MAX_QUOTED_CHARS: usize = 2_000;

/// A tool that came to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) exit: Exit,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Why a tool gave no answer. Completes "failed to …".
#[derive(Debug, Error)]
pub(crate) enum ToolError {
    /// It could not be started.
    #[error("start {}", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It was still busy.
    #[error("run {} within {} s", program.display(), after.as_secs())]
    TimedOut { program: PathBuf, after: Duration },
    /// It ended otherwise than well.
    #[error("run {}: it {exit}: {words}", program.display())]
    Failed { program: PathBuf, exit: Exit, words: String },
}

/// Runs a program and waits for its end, however it ends. `name` is what it is called in errors; `folder` marks its
/// environment: whatever bears the same mark is ended with it, so no two runs at one time may share a folder.
pub(crate) async fn run(
    spawner: &Spawner,
    launch: Launch,
    name: &Path,
    folder: &Path,
    limit: Duration,
) -> Result<Finished, ToolError> {
    let mut process = spawner
        .spawn(launch.var(tree::SLOT_VARIABLE, folder))
        .await
        .map_err(|source| ToolError::Start { program: name.to_owned(), source })?;
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let over = timeout(limit, async { tokio::join!(process.wait(), beginning(stdout), kept_end(stderr)) }).await;
    let left = tree::end_all(&mut process, folder).await;
    if left > 0 {
        tracing::error!(tool = %name.display(), left, "processes of a tool do not end");
    }
    let (exit, stdout, stderr) = over.map_err(|_| ToolError::TimedOut { program: name.to_owned(), after: limit })?;
    Ok(Finished { exit, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

impl Finished {
    /// The answer of a tool that ended well.
    pub(crate) fn successful(self, name: &Path) -> Result<Vec<u8>, ToolError> {
        match self.exit {
            Exit::Code(0) => Ok(self.stdout),
            Exit::Code(_) | Exit::Signal(_) | Exit::Unknown => {
                Err(ToolError::Failed { program: name.to_owned(), exit: self.exit, words: last_words(&self.stderr) })
            }
        }
    }
}

/// The end of what a tool said, for an error.
pub(crate) fn last_words(text: &str) -> String {
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(MAX_QUOTED_CHARS);
    text.chars().skip(skipped).filter(|c| !c.is_control() || *c == '\n').collect()
}

async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    each_chunk(pipe, |chunk| kept.extend_from_slice(&chunk[..chunk.len().min(MAX_KEPT_BYTES - kept.len())])).await;
    kept
}

/// Reads a pipe to its end and keeps the last part.
pub(crate) async fn kept_end(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    each_chunk(pipe, |chunk| {
        kept.extend_from_slice(chunk);
        if kept.len() > 2 * MAX_KEPT_BYTES {
            kept.drain(..kept.len() - MAX_KEPT_BYTES);
        }
    })
    .await;
    kept
}

async fn each_chunk(pipe: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 16 * 1024];
    // A pipe that cannot be read any more has come to its end.
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        take(&chunk[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration) -> Result<Finished, ToolError> {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::new("/bin/sh", folder.path()).var("PATH", "/usr/bin:/bin").arg("-c").arg(script);
        run(&Spawner::start().unwrap(), launch, Path::new("script"), folder.path(), limit).await
    }

    #[tokio::test]
    async fn an_answer_is_its_beginning_and_a_reason_its_end() {
        let finished = shell("printf answer; printf reason >&2; exit 3", Duration::from_secs(60)).await.unwrap();
        assert_eq!(
            (finished.exit, finished.stdout.as_slice(), finished.stderr.as_str()),
            (Exit::Code(3), &b"answer"[..], "reason")
        );
        let error = finished.successful(Path::new("script")).unwrap_err();
        assert_eq!(error.to_string(), "run script: it exited with code 3: reason");
    }

    #[tokio::test]
    async fn endless_words_are_bounded() {
        let finished = shell("head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2", Duration::from_secs(60)).await.unwrap();
        assert_eq!(finished.stdout.len(), MAX_KEPT_BYTES);
        assert!(finished.stderr.len() <= 2 * MAX_KEPT_BYTES);
    }

    #[tokio::test]
    async fn a_tool_that_does_not_end_is_ended_with_everything_it_started() {
        let marker = format!("{}.5", 100_000 + std::process::id());
        let script = format!("(trap '' TERM HUP; setsid sleep {marker}) & sleep {marker}");
        let error = shell(&script, Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, ToolError::TimedOut { .. }));
        let alive = tree::processes().iter().any(|entry| {
            std::fs::read(format!("/proc/{}/cmdline", entry.pid))
                .is_ok_and(|line| line.windows(marker.len()).any(|part| part == marker.as_bytes()))
        });
        assert!(!alive);
    }
}
