//! The end of a slot: asked, told, forced, until nothing of it is left.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, timeout};

use super::Slot;
use crate::folder::{LOOK_INTERVAL, SlotFolder};
use crate::protocol::ToRunner;
use crate::spawn::Process;
use crate::tree;
use crate::yard::Yard;

/// From TERM to KILL.
const TERM_GRACE: Duration = Duration::from_secs(3);

/// From `shutdown` to TERM, for a slot in which nothing of the user's runs.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// From KILL to the certainty that nothing is left.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

impl Slot {
    /// Ends everything in the slot and removes its folder. `is_user_code_over` says that nothing of the user's runs any more,
    /// so that the runner may be asked to go first; otherwise it was asked to abort already.
    pub(crate) async fn end(mut self, yard: &Yard, is_user_code_over: bool) {
        if self.process.ended().is_none() {
            let asked = is_user_code_over && self.link.say(&ToRunner::Shutdown).is_ok();
            let is_gone = asked && timeout(SHUTDOWN_GRACE, self.process.wait()).await.is_ok();
            if !is_gone && !is_user_code_over {
                self.terminate(yard).await;
            }
        }
        end_tree(&mut self.process, self.folder.path(), yard.sandbox().has_pid_namespace()).await;
        clean(Arc::clone(&self.folder)).await;
    }

    /// TERM to the runner, and time to act on it.
    async fn terminate(&mut self, yard: &Yard) {
        // Inside bubblewrap the runner is the child of the namespace's first process, which is the child of ours.
        let distance = if yard.sandbox().has_pid_namespace() { 2 } else { 0 };
        if distance == 0 {
            tree::send(self.process.pid(), Signal::TERM);
        } else {
            let below = tree::descendants(&tree::processes(), self.process.pid());
            below.iter().filter(|(_, at)| *at == distance).for_each(|(entry, _)| tree::send(entry.pid, Signal::TERM));
        }
        drop(timeout(TERM_GRACE, self.process.wait()).await);
    }
}

/// KILL, until nothing of the slot is left.
pub(super) async fn end_tree(process: &mut Process, folder: &Path, has_pid_namespace: bool) {
    let deadline = Instant::now() + KILL_TIMEOUT;
    let root = process.pid();
    if has_pid_namespace {
        if process.ended().is_none() {
            // With the first process of a namespace the kernel ends every other one in it; ours is its parent and follows.
            tree::descendants(&tree::processes(), root)
                .iter()
                .filter(|(_, at)| *at == 1)
                .for_each(|(entry, _)| tree::send(entry.pid, Signal::KILL));
            tree::send(root, Signal::KILL);
        }
        drop(timeout(KILL_TIMEOUT, process.wait()).await);
        wait_for_end(folder, root, deadline, |_| {}).await;
    } else {
        wait_for_end(folder, root, deadline, |pid| tree::send(pid, Signal::KILL)).await;
        drop(timeout(KILL_TIMEOUT, process.wait()).await);
    }
}

/// Looks until no process of the slot is left, doing something to each that is.
async fn wait_for_end(folder: &Path, root: i32, deadline: Instant, act: impl Fn(i32)) {
    loop {
        let marked = folder.to_owned();
        let left = tokio::task::spawn_blocking(move || tree::of_slot(root, &marked)).await.unwrap_or_default();
        if left.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            tracing::error!(pids = ?left.iter().map(|entry| entry.pid).collect::<Vec<_>>(), "processes of a slot do not end");
            return;
        }
        left.iter().for_each(|entry| act(entry.pid));
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Removes a slot's folder.
pub(super) async fn clean(folder: Arc<SlotFolder>) {
    let path = folder.path().to_owned();
    match tokio::task::spawn_blocking(move || folder.remove()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(folder = %path.display(), %error, "a slot's folder could not be removed"),
        Err(_) => tracing::error!(folder = %path.display(), "a slot's folder was not removed"),
    }
}
