// The tree of processes below this one: find it, end it.
//
// Linux only: it reads /proc, synchronously, because it runs while the process ends. A child that daemonised itself is
// not found here (Node cannot become a subreaper); the worker's own kill of the whole tree ends it. The same if the
// process dies in the middle.

import { lstatSync, readFileSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const BROWSER_LEFTOVERS = /^\.?(playwright[_-]|pw-|org\.chromium\.)/;
const KILL_ROUND_MS = 10;

/** Every process below `root`, nearest first; zombies are left out. */
export function descendants(root) {
  const families = childrenByParent();
  const found = [...(families.get(root) ?? [])];
  for (let index = 0; index < found.length; index += 1) found.push(...(families.get(found[index]) ?? []));
  return found;
}

/** The processes directly below `root`. */
export function children(root) {
  return childrenByParent().get(root) ?? [];
}

function childrenByParent() {
  const families = new Map();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    let stat;
    try {
      stat = readFileSync(`/proc/${entry}/stat`, "latin1");
    } catch {
      continue; // ended while we looked
    }
    // The command between brackets may itself hold brackets and blanks.
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") continue;
    if (!families.has(Number(parent))) families.set(Number(parent), []);
    families.get(Number(parent)).push(Number(entry));
  }
  return families;
}

/** The arguments of a process; none for one that has ended. */
export function argumentsOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** KILL everything below this process; whether nothing was left in time. */
export function killDescendants(withinMs = 1000) {
  const deadline = performance.now() + withinMs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const pids = descendants(process.pid);
    if (pids.length === 0) return true;
    for (const pid of pids) kill(pid);
    if (performance.now() > deadline) return false;
    Atomics.wait(pause, 0, 0, KILL_ROUND_MS); // the kernel needs a moment to turn them into zombies
  }
}

/** KILL one process; one that has ended is fine. */
export function kill(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

/**
 * Delete profile and download folders that a killed browser could not delete. Only inside the slot's own folder:
 * elsewhere a neighbour's would go too.
 */
export function removeBrowserLeftovers() {
  const slot = process.env.KEYWRIGHT_SLOT_DIR;
  try {
    if (!slot || realpathSync(tmpdir()) !== realpathSync(slot)) return;
    for (const name of readdirSync(slot)) {
      const entry = path.join(slot, name);
      if (BROWSER_LEFTOVERS.test(name) && lstatSync(entry).isDirectory()) rmSync(entry, { recursive: true, force: true });
    }
  } catch {
    // The worker deletes the whole folder; this only keeps it small until then.
  }
}
