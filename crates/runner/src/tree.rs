//! Processes as the kernel shows them: who is below whom, and ending all of them. Linux only; reads `/proc`.
//!
//! In a PID namespace the kernel itself ends everything with the first process. Without one, Chromium's helpers leave the
//! group and daemonise themselves, so what belongs to a slot is found in three ways: below its first process, in its
//! session, and by the slot's folder in its environment. Never by the name of a program.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use crate::spawn::Process;

/// The variable that says which slot a process belongs to.
pub(crate) const SLOT_VARIABLE: &str = "KEYWRIGHT_SLOT_DIR";

/// Pause between looks at processes that are about to disappear.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long what was killed has to disappear, and the first process to be reaped.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// One living process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// When it began, in the kernel's ticks since boot: with the pid, what tells two processes apart.
    pub(crate) start_ticks: u64,
}

/// Every living process this one may see; zombies are left out.
pub(crate) fn processes() -> Vec<Entry> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()).filter_map(entry).collect()
}

/// One process, unless it has ended.
pub(crate) fn entry(pid: i32) -> Option<Entry> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &String::from_utf8_lossy(&stat))
}

/// The command between brackets may itself hold brackets and blanks, so everything is counted from the last bracket.
fn parse_stat(pid: i32, stat: &str) -> Option<Entry> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let is_alive = !matches!(*fields.first()?, "Z" | "X");
    is_alive.then_some(())?;
    Some(Entry {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// The processes below `root`, nearest first, each with its distance; `root` itself is not among them.
pub(crate) fn descendants(all: &[Entry], root: i32) -> Vec<(Entry, usize)> {
    let mut found: Vec<(Entry, usize)> = Vec::new();
    let (mut seen, mut parents) = (HashSet::from([root]), vec![root]);
    let mut distance = 0;
    while !parents.is_empty() {
        distance += 1;
        let children: Vec<Entry> =
            all.iter().filter(|entry| parents.contains(&entry.parent) && seen.insert(entry.pid)).copied().collect();
        parents = children.iter().map(|child| child.pid).collect();
        found.extend(children.into_iter().map(|child| (child, distance)));
    }
    found
}

/// Everything that belongs to the slot in `folder` whose first process is `root`.
pub(crate) fn of_slot(root: i32, folder: &Path) -> Vec<Entry> {
    let all = processes();
    let below: HashSet<i32> = descendants(&all, root).into_iter().map(|(entry, _)| entry.pid).collect();
    all.into_iter()
        .filter(|entry| entry.pid == root || entry.session == root || below.contains(&entry.pid) || is_marked(entry.pid, folder))
        .collect()
}

/// Everything whose environment names a slot's folder below `slots`: what an earlier life of this server left.
pub(crate) fn left_behind(slots: &Path) -> Vec<Entry> {
    processes()
        .into_iter()
        .filter(|entry| slot_of(entry.pid).is_some_and(|folder| folder.starts_with(slots.as_os_str().as_bytes())))
        .collect()
}

fn is_marked(pid: i32, folder: &Path) -> bool {
    slot_of(pid).is_some_and(|marked| marked == folder.as_os_str().as_bytes())
}

/// The slot's folder in a process's environment. Not readable means not ours.
fn slot_of(pid: i32) -> Option<Vec<u8>> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{SLOT_VARIABLE}=");
    environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(prefix.as_bytes())).map(<[u8]>::to_vec)
}

/// Kills everything that belongs to the slot in `folder` whose first process is this one, until nothing of it is left. Returns
/// how many processes do not go.
pub(crate) async fn end_all(process: &mut Process, folder: &Path) -> usize {
    let (root, deadline) = (process.pid(), Instant::now() + END_TIMEOUT);
    let left = loop {
        let marked = folder.to_owned();
        let left = tokio::task::spawn_blocking(move || of_slot(root, &marked)).await.unwrap_or_default();
        if left.is_empty() || Instant::now() > deadline {
            break left.len();
        }
        left.iter().for_each(|entry| send(entry.pid, Signal::KILL));
        sleep(LOOK_INTERVAL).await;
    };
    // Reaped last: until then its number belongs to nobody else.
    drop(timeout(END_TIMEOUT, process.wait()).await);
    left
}

/// Sends a signal to one process. That it has ended already is no failure.
pub(crate) fn send(pid: i32, signal: Signal) {
    if pid > 1
        && let Some(pid) = Pid::from_raw(pid)
        && let Err(error) = kill_process(pid, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = pid.as_raw_nonzero().get(), ?signal, %error, "a process could not be signalled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: i32, parent: i32) -> Entry {
        Entry { pid, parent, session: 1, start_ticks: 0 }
    }

    #[test]
    fn a_command_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "77 (a) S (b c)) S 5 77 70 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0";
        assert_eq!(parse_stat(77, stat), Some(Entry { pid: 77, parent: 5, session: 70, start_ticks: 123_456 }));
        assert_eq!(parse_stat(77, "77 (x) Z 5 77 70 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0"), None);
        assert_eq!(parse_stat(77, "nonsense"), None);
    }

    #[test]
    fn descendants_are_found_at_every_depth_and_circles_end() {
        let all = [entry(10, 1), entry(11, 10), entry(12, 11), entry(13, 11), entry(20, 1), entry(30, 31), entry(31, 30)];
        let found: Vec<(i32, usize)> = descendants(&all, 10).into_iter().map(|(entry, distance)| (entry.pid, distance)).collect();
        assert_eq!(found, [(11, 1), (12, 2), (13, 2)]);
        assert_eq!(descendants(&all, 30).len(), 1);
    }

    #[test]
    fn this_process_is_seen() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        assert!(processes().iter().any(|entry| entry.pid == own));
    }
}
