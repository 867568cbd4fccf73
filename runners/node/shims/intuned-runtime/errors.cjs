"use strict";
// Errors that say what must become of the run.

// The runner looks for this mark, not for a class: a project may carry a second copy of this module.
const NON_RETRYABLE = Symbol.for("keywright.nonRetryable");

/** A failure with a message of its own; `{retryable: false}` means that no other attempt is made. */
class RunError extends Error {
  constructor(message, options = {}) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RunError";
    this.retryable = options?.retryable !== false;
    if (!this.retryable) Object.defineProperty(this, NON_RETRYABLE, { value: true });
  }
}

/** A failure after which no other attempt is made. */
class NonRetryableError extends RunError {
  constructor(message, options = {}) {
    super(message, { ...options, retryable: false });
    this.name = "NonRetryableError";
  }
}

module.exports = { NonRetryableError, RunError };
