"use strict";
// withNetworkSettledWait: run something, then wait until the page's requests have been answered.
//
// Settled means: at two moments SAMPLE_MS apart not more than the allowed number of requests was in flight. Only requests
// of this page (its frames included) that began after the call started count. Reaching the limit is no error: the
// result is returned all the same. The listeners of the call are removed in every case.

const { setTimeout: sleep } = require("node:timers/promises");
const { requirePage } = require("./sources.cjs");

const SAMPLE_MS = 500;

/** The requests of a page that have begun since, and have not ended. */
class InFlight {
  #page;
  #requests = new Set();
  #wake = () => {};
  #listeners = {
    request: (request) => this.#requests.add(request),
    requestfinished: (request) => this.#ended(request),
    requestfailed: (request) => this.#ended(request),
    // Nobody tells how the requests of a closed page end.
    close: () => {
      this.#requests.clear();
      this.#wake();
    },
  };

  constructor(page) {
    this.#page = page;
    for (const [event, listener] of Object.entries(this.#listeners)) page.on(event, listener);
  }

  stop() {
    for (const [event, listener] of Object.entries(this.#listeners)) this.#page.off(event, listener);
  }

  get count() {
    return this.#requests.size;
  }

  /** Wait until a request has ended; false when none has within the time. */
  change(withinMs) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), withinMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  #ended(request) {
    this.#requests.delete(request);
    this.#wake();
  }
}

/** The function's result, once the network has settled after it. What the function throws passes at once. */
async function settle(page, call, timeoutMs, maxInflightRequests) {
  const inFlight = new InFlight(page);
  try {
    const result = await call();
    await sleep(SAMPLE_MS);
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      if (inFlight.count <= maxInflightRequests) {
        await sleep(SAMPLE_MS);
        if (inFlight.count <= maxInflightRequests) return result;
      }
      const remainingMs = deadlineMs - performance.now();
      if (remainingMs <= 0 || !(await inFlight.change(remainingMs))) break;
    }
    await sleep(SAMPLE_MS);
    return result;
  } finally {
    inFlight.stop();
  }
}

/** Call `callback(page)`, wait for the network, return what the callback returned. */
async function withNetworkSettledWait(callback, { page, timeoutInMs = 30_000, maxInflightRequests = 0 } = {}) {
  if (typeof callback !== "function") throw new TypeError("withNetworkSettledWait: the first argument must be a function");
  requirePage(page, "withNetworkSettledWait");
  return settle(page, () => callback(page), timeoutInMs, maxInflightRequests);
}

module.exports = { publicNames: { withNetworkSettledWait }, settle };
