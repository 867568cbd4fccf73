"use strict";
// The attempt this code runs in, which the runner keeps under a registered symbol.

const KEY = Symbol.for("keywright.runner");

/** The attempt, or undefined outside of one. */
function currentAttempt() {
  return globalThis[KEY]?.current();
}

/** The attempt. Throws outside of one. */
function attemptFor(name) {
  const attempt = currentAttempt();
  if (attempt === undefined) throw new Error(`${name} works only inside a run`);
  return attempt;
}

module.exports = { attemptFor, currentAttempt };
