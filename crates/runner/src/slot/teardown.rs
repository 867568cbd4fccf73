//! The end of a slot: asked, told, forced, until nothing of it is left.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use super::Slot;
use crate::folder::SlotFolder;
use crate::protocol::ToRunner;
use crate::spawn::Process;
use crate::tree;
use crate::yard::Yard;

/// From TERM to KILL.
const TERM_GRACE: Duration = Duration::from_secs(3);

/// From `shutdown` to TERM, for a slot in which nothing of the user's runs.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

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
    if has_pid_namespace && process.ended().is_none() {
        // With the first process of a namespace the kernel ends every other one in it; ours is its parent and follows.
        let root = process.pid();
        tree::descendants(&tree::processes(), root)
            .iter()
            .filter(|(_, at)| *at == 1)
            .for_each(|(entry, _)| tree::send(entry.pid, Signal::KILL));
        tree::send(root, Signal::KILL);
    }
    let left = tree::end_all(process, folder).await;
    if left > 0 {
        tracing::error!(folder = %folder.display(), left, "processes of a slot do not end");
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
