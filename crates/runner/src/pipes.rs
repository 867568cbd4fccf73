//! What a slot's processes write past the runner, to stdout and stderr: native crashes, tracebacks of the interpreter.
//!
//! Both pipes are drained for the whole life of the slot, so that nobody ever blocks on them. What nobody takes in time is
//! dropped: at most [`MAX_WAITING_LINES`] lines of at most [`MAX_LINE_BYTES`] are held.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::log::MAX_LINE_BYTES;
use crate::spawn::Process;

/// Most lines that wait to be taken.
const MAX_WAITING_LINES: usize = 64;

/// How much is read at once.
const CHUNK_BYTES: usize = 8 * 1024;

/// The lines of one slot's processes.
#[derive(Debug)]
pub(crate) struct Pipes {
    lines: mpsc::Receiver<String>,
}

impl Pipes {
    /// Begins to drain a process's pipes. The tasks end when every process that inherited the pipes has ended or closed them.
    pub(crate) fn drain(process: &mut Process, tasks: &TaskTracker) -> Self {
        let (sender, lines) = mpsc::channel(MAX_WAITING_LINES);
        if let Some(stdout) = process.stdout.take() {
            tasks.spawn(read(stdout, sender.clone()));
        }
        if let Some(stderr) = process.stderr.take() {
            tasks.spawn(read(stderr, sender));
        }
        Self { lines }
    }

    /// The next line; nothing once both pipes are closed. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// A line that is already there.
    pub(crate) fn waiting(&mut self) -> Option<String> {
        self.lines.try_recv().ok()
    }
}

async fn read(mut pipe: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let (mut chunk, mut line) = (vec![0; CHUNK_BYTES], Vec::new());
    loop {
        let count = pipe.read(&mut chunk).await.unwrap_or(0);
        for part in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE_BYTES - line.len();
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                give(&mut line, &lines);
            }
        }
        if count == 0 {
            give(&mut line, &lines);
            return;
        }
    }
}

/// Hands a line over if somebody has room for it.
fn give(line: &mut Vec<u8>, lines: &mpsc::Sender<String>) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    if !text.is_empty() {
        // Full means a flood or nobody listening; closed means the slot is over. Either way the line is dropped.
        drop(lines.try_send(text.to_owned()));
    }
    line.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(bytes: &[u8]) -> Vec<String> {
        let (sender, mut lines) = mpsc::channel(MAX_WAITING_LINES);
        read(bytes, sender).await;
        let mut found = Vec::new();
        while let Some(line) = lines.recv().await {
            found.push(line);
        }
        found
    }

    #[tokio::test]
    async fn lines_are_cut_and_a_flood_is_dropped() {
        assert_eq!(lines_of(b"one\r\n\n\xfftwo\nthree").await, ["one", "\u{fffd}two", "three"]);
        let long = vec![b'x'; 3 * MAX_LINE_BYTES];
        assert_eq!(lines_of(&long).await, ["x".repeat(MAX_LINE_BYTES)]);
        assert_eq!(lines_of(&b"flood\n".repeat(100_000)).await.len(), MAX_WAITING_LINES);
    }
}
