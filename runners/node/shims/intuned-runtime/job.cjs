"use strict";
// More time, more payloads, and what the run is known by.

const { attemptFor, currentAttempt } = require("./attempt.cjs");

const DEDUP_KEY = /^[a-zA-Z0-9._-]{1,128}$/;
const MAX_MESSAGE = 10_000;
const MAX_CONTEXT_BYTES = 8 * 1024;

/** Ask for further payloads of this job run, `{api, parameters}` or a list of them; carried out after success. */
function extendPayload(payload) {
  const attempt = attemptFor("extendPayload");
  attempt.extendedPayloads.push(...(Array.isArray(payload) ? payload : [payload]));
  attempt.extendTimeout();
}

/** Start the attempt's time anew. */
function extendTimeout() {
  attemptFor("extendTimeout").extendTimeout();
}

/** Set an attribute of the run, reported with its end. */
function setAttribute(key, value) {
  attemptFor("setAttribute").attributes.set(key, value);
}

/** Remove an attribute of the run. */
function deleteAttribute(key) {
  attemptFor("deleteAttribute").attributes.delete(key);
}

/** `{runId, jobId, jobRunId, authSessionId, attemptNumber, …}`, or undefined outside of a run. */
function getExecutionContext() {
  return currentAttempt()?.runContext;
}

/** The older form: `{runEnvironment, runId}`. */
function runInfo() {
  const attempt = currentAttempt();
  return { runEnvironment: attempt === undefined ? "IDE" : "DEPLOYED", runId: attempt?.runContext.runId };
}

/**
 * A message for an agent that looks after the project. Nothing here delivers it: once it is found to be well-formed it
 * becomes a line of the attempt's log.
 */
function sendMessageToAgent({ dedupKey, message, additionalContext } = {}) {
  if (typeof dedupKey !== "string" || !DEDUP_KEY.test(dedupKey)) {
    throw new TypeError("dedupKey must have 1 to 128 letters, digits, dots, underscores or dashes");
  }
  if (typeof message !== "string" || message.length === 0 || message.length > MAX_MESSAGE) {
    throw new TypeError(`message must have 1 to ${MAX_MESSAGE} characters`);
  }
  const context = additionalContext === undefined ? "" : JSON.stringify(additionalContext);
  if (Buffer.byteLength(context) > MAX_CONTEXT_BYTES) {
    throw new RangeError(`additionalContext can take at most ${MAX_CONTEXT_BYTES} bytes`);
  }
  currentAttempt()?.log("warn", `message for an agent (${dedupKey}), which is not delivered anywhere: ${message} ${context}`.trimEnd());
}

/**
 * Where a language model can be reached with the run's own key. Keywright has no such gateway: both are empty, which
 * projects test for.
 */
async function getAiGatewayConfig() {
  return { baseUrl: "", apiKey: "" };
}

module.exports = {
  deleteAttribute, extendPayload, extendTimeout, getAiGatewayConfig, getExecutionContext, runInfo, sendMessageToAgent, setAttribute,
};
