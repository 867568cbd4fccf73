// What user code leaves behind in this process when its attempt is over: timers that keep running, child processes.
//
// Somebody else's timer cannot be told from one that a library needs, so it is not ended: a process with one must not
// serve another attempt. Children are killed and make it just as doubtful. Timers are known by their attempt's scope,
// from the moment they are set; what keeps nothing alive (an unref'd timer, an idle socket) is not looked at: it still
// belongs to its own attempt, whose log and stores are closed.

import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers";
import { children, kill } from "./processes.mjs";
import * as scope from "./scope.mjs";

/** How many timers of an attempt are remembered before the ended ones are forgotten. */
const SWEEP_AT = 1000;

const timersOf = new WeakMap();

/** Begin to remember who sets which timer; once, before any user code. */
export function watchTimers() {
  for (const name of ["setTimeout", "setInterval"]) {
    const set = timers[name];
    const watched = function (...given) {
      const timer = set.apply(this, given);
      const owner = scope.inside();
      if (owner !== undefined) remember(owner, timer);
      return timer;
    };
    // With its name and what util.promisify looks for.
    Object.defineProperties(watched, Object.getOwnPropertyDescriptors(set));
    timers[name] = watched;
    globalThis[name] = watched;
  }
  syncBuiltinESMExports();
}

function remember(owner, timer) {
  let known = timersOf.get(owner);
  if (known === undefined) timersOf.set(owner, (known = { timers: [], sweepAt: SWEEP_AT }));
  known.timers.push(timer);
  if (known.timers.length < known.sweepAt) return;
  known.timers = known.timers.filter(isRunning);
  known.sweepAt = Math.max(SWEEP_AT, 2 * known.timers.length);
}

function isRunning(timer) {
  return !timer._destroyed && timer.hasRef();
}

export class Leftovers {
  #children = new Set();

  /** What is there before user code begins. */
  remember() {
    this.#children = new Set(children(process.pid));
  }

  /** End what can be ended; the reason why the process must not be used again, if there is one. */
  clear(owner, browserPid) {
    const started = children(process.pid).filter((pid) => pid !== browserPid && !this.#children.has(pid));
    for (const pid of started) kill(pid);
    if (started.length > 0) return "a child process of the user was left running";
    if (timersOf.get(owner)?.timers.some(isRunning)) return "a timer of the user was left running";
    return undefined;
  }
}
