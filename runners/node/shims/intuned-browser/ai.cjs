"use strict";
// What a project imports as `@intuned/browser/ai`: the helpers that ask a language model. They load, and refuse to work,
// because this version has no AI gateway; a project that only mentions them runs.

class AiUnavailableError extends Error {
  constructor(name) {
    super(`${name} is not available: this version of Keywright has no AI gateway`);
    this.name = "AiUnavailableError";
  }
}

/** Always rejects with AiUnavailableError. */
async function extractStructuredData() {
  throw new AiUnavailableError("extractStructuredData");
}

/** Always rejects with AiUnavailableError. */
async function isPageLoaded() {
  throw new AiUnavailableError("isPageLoaded");
}

module.exports = { AiUnavailableError, extractStructuredData, isPageLoaded };
