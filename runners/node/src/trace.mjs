// The Playwright trace of an attempt; complete before `done` is sent.
//
// A trace that cannot be written never fails the attempt: the file is removed, the worker finds none, and the attempt's
// log says why. Stopping twice is fine. If the process dies here, the worker deletes what there is of the file.

import { rmSync } from "node:fs";
import { within } from "./deadline.mjs";

export class Trace {
  #spec;
  #log;
  #context;

  constructor(spec, log) {
    this.#spec = spec ?? null;
    this.#log = log;
  }

  /** Begin, if a trace was asked for. */
  async start(context) {
    if (this.#spec === null) return;
    const { screenshots = true, snapshots = true, sources = true } = this.#spec;
    await context.tracing.start({ screenshots, snapshots, sources });
    this.#context = context;
  }

  /** Trace another context instead: the hook brought one. */
  async move(context) {
    const before = this.#context;
    this.#context = undefined;
    if (before !== undefined) await before.tracing.stop();
    await this.start(context);
  }

  /** Write the file, in at most `limitMs`. */
  async stop(limitMs) {
    const context = this.#context;
    this.#context = undefined;
    if (context === undefined) return;
    const { path } = this.#spec;
    try {
      await within(limitMs, context.tracing.stop({ path }));
    } catch (error) {
      remove(path);
      this.#log.line("stderr", "warn", `the trace of this attempt could not be written: ${error.message}`);
    }
  }
}

function remove(file) {
  try {
    rmSync(file, { force: true });
  } catch {
    // Where nothing can be removed, nothing was written.
  }
}
