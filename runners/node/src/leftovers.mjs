// What user code leaves behind in this process when its attempt is over: timers that keep running, child processes.
//
// Node cannot end somebody else's timer, so a process with one must not serve another attempt; children are killed and
// make it just as doubtful. What keeps nothing alive (an unref'd timer, an idle socket) is not looked at: it still
// belongs to its own attempt, whose log and stores are closed.

import { children, kill } from "./processes.mjs";

export class Leftovers {
  #timers = 0;
  #children = new Set();

  /** What is there before user code begins. */
  remember() {
    this.#timers = timers();
    this.#children = new Set(children(process.pid));
  }

  /** End what can be ended; the reason why the process must not be used again, if there is one. */
  clear(browserPid) {
    const started = children(process.pid).filter((pid) => pid !== browserPid && !this.#children.has(pid));
    for (const pid of started) kill(pid);
    if (started.length > 0) return "a child process of the user was left running";
    if (timers() > this.#timers) return "a timer of the user was left running";
    return undefined;
  }
}

function timers() {
  return process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
}
