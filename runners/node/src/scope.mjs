// The attempt that user code is in: what the import shims read and write.
//
// Each attempt runs inside an AsyncLocalStorage, so that code it left behind (a timer, a promise) still belongs to it
// when the next attempt of the slot runs. Code without an asynchronous ancestor in an attempt (a worker thread's output,
// an event of the process) sees the attempt that is running. The shims are CommonJS and may be loaded by the user's
// own module system, so they find this through a global under a registered symbol, not through an import.
// Everything here is memory of one attempt and is gone with it.

import { AsyncLocalStorage } from "node:async_hooks";
import { RunAttributes } from "./attributes.mjs";

const EXTEND_EVERY_MS = 1000;
const KEY = Symbol.for("keywright.runner");

const storage = new AsyncLocalStorage();
let running;

/**
 * What one attempt offers to user code.
 *
 * runContext         who the run is; ids the platform did not give are undefined
 * slotDir            the private writable folder; files for `file.store` must be below it
 * extendedPayloads   collected by extendPayload, sent when the attempt succeeds
 * store              Map behind attemptStore
 * attributes         RunAttributes
 * ask(method, params)  Promise of the worker's answer to a `call`
 * extendTimeout()    asks for the full time again; at most once a second, the first at once
 * authParameters()   the AuthSession's parameters; throws when there are none to be had
 * log(level, text)   one or more lines in the attempt's log
 */
export class Scope {
  #calls;
  #log;
  #sendExtend;
  #authParameters;
  #extendedAtMs = -Infinity;

  constructor({ context, authParameters, calls, log, sendExtend, slotDir }) {
    this.runContext = Object.freeze({
      runId: context.runId ?? undefined,
      jobId: context.jobId ?? undefined,
      jobRunId: context.jobRunId ?? undefined,
      authSessionId: context.authSessionId ?? undefined,
      attemptNumber: context.attemptNumber ?? undefined,
      apiName: context.apiName ?? undefined,
      workspaceId: context.workspaceId ?? undefined,
      projectName: context.projectName ?? undefined,
    });
    this.slotDir = slotDir;
    this.extendedPayloads = [];
    this.store = new Map();
    this.attributes = new RunAttributes();
    this.#calls = calls;
    this.#log = log;
    this.#sendExtend = sendExtend;
    this.#authParameters = authParameters ?? null;
  }

  ask(method, params) {
    return this.#calls.ask(method, params);
  }

  log(level, text) {
    for (const line of String(text).split("\n")) this.#log.line("console", level, line);
  }

  extendTimeout() {
    const nowMs = performance.now();
    if (nowMs - this.#extendedAtMs < EXTEND_EVERY_MS) return;
    this.#extendedAtMs = nowMs;
    this.#sendExtend();
  }

  authParameters() {
    if (this.#authParameters === null) {
      throw new Error("auth session parameters are not available: this run has no auth session with parameters");
    }
    return structuredClone(this.#authParameters);
  }

  /** The log of this attempt, for what is printed. */
  get output() {
    return this.#log;
  }
}

/** The attempt this code belongs to, or undefined outside of one. */
export function current() {
  return storage.getStore() ?? running;
}

/** The attempt this code descends from; undefined where it cannot be told. */
export function inside() {
  return storage.getStore();
}

/** Run `work` as part of the attempt, which becomes the running one until `leave`. */
export function enter(scope, work) {
  running = scope;
  return storage.run(scope, work);
}

/** No attempt is running any more; what it left behind still belongs to it. */
export function leave(scope) {
  if (running === scope) running = undefined;
}

Object.defineProperty(globalThis, KEY, { value: Object.freeze({ current }), enumerable: false });
