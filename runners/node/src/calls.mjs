// Questions to the worker that user code waits for: `call` out, `reply` back.
//
// When the attempt ends, calls still open fail; a late reply is ignored. At most 1000 are open at once, so that a loop
// without `await` fails with a sentence instead of filling memory.

import { isWellFormed } from "./protocol.mjs";

const MAX_OPEN = 1000;

/** The worker answered a call with an error. */
export class CallError extends Error {
  constructor(code, message) {
    super(code ? `${message} (${code})` : message);
    this.name = "CallError";
    this.code = code;
  }
}

export class Calls {
  #link;
  #attemptId;
  #nextId = 1;
  #open = new Map();
  #closed = false;

  constructor(link, attemptId) {
    this.#link = link;
    this.#attemptId = attemptId;
  }

  /** The value of the worker's answer. Rejects with CallError, or TypeError for what JSON cannot carry. */
  async ask(method, params) {
    if (this.#closed) throw new CallError("attempt-over", `${method} was called after the attempt had ended`);
    if (this.#open.size >= MAX_OPEN) throw new CallError("too-many-calls", `${MAX_OPEN} calls are already waiting`);
    if (!isWellFormed(params)) throw new TypeError(`${method}: a lone surrogate is not JSON`);
    const callId = this.#nextId++;
    const answer = new Promise((resolve, reject) => this.#open.set(callId, { resolve, reject }));
    try {
      this.#link.send({ type: "call", attemptId: this.#attemptId, callId, method, params });
    } catch (error) {
      this.#open.delete(callId);
      throw error;
    }
    return answer;
  }

  /** Take a `reply`. */
  answer({ callId, ok, value, error }) {
    const waiting = this.#open.get(callId);
    if (!waiting) return;
    this.#open.delete(callId);
    if (ok === true) waiting.resolve(value);
    else waiting.reject(new CallError(String(error?.code ?? ""), String(error?.message ?? "the call failed")));
  }

  /** Fail what is still open; nothing can be asked afterwards. */
  close() {
    this.#closed = true;
    const left = [...this.#open.values()];
    this.#open.clear();
    for (const { reject } of left) reject(new CallError("attempt-over", "the attempt ended before the answer came"));
  }
}
