// How an attempt fails: the error of a `done` message.
//
// What user code throws becomes `user-error` with its name, message and a stack without the runner's own frames, paths
// relative to the project; Node has already mapped them to the TypeScript source. Sizes are capped so that the frame
// always fits. Anything can be thrown, so nothing about the thrown value is trusted. Pure.

import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { Code, cutText } from "./protocol.mjs";

const MAX_TEXT_BYTES = 64 * 1024;
const MAX_NAME_BYTES = 255;
const NEVER_AGAIN = new Set([Code.NOT_FOUND, Code.RESULT_TOO_BIG]);
const OWN_FOLDER = fileURLToPath(new URL("../", import.meta.url));
/** The mark that the shims put on errors after which there must be no other attempt. */
const NON_RETRYABLE = Symbol.for("keywright.nonRetryable");

/** The attempt ends with this code; thrown by the runner, never by user code. */
export class AttemptFailed extends Error {
  constructor(code, message, cause) {
    super(message, { cause });
    this.code = code;
  }
}

/** The wire form of a failure that the runner found. */
export function ofFailure(failed) {
  const error = {
    code: failed.code,
    message: tidy(failed.message),
    retryable: !NEVER_AGAIN.has(failed.code),
  };
  if (failed.cause !== undefined) {
    error.name = nameOf(failed.cause);
    error.stack = stackOf(failed.cause, undefined);
  }
  return error;
}

/** The wire form of what user code threw. */
export function ofUser(thrown, root) {
  const name = nameOf(thrown);
  return {
    code: Code.USER_ERROR,
    message: tidy(messageOf(thrown)) || name,
    name,
    stack: stackOf(thrown, root),
    retryable: read(thrown, NON_RETRYABLE) !== true,
  };
}

/** What a thrown value says, whatever it is. */
export function messageOf(thrown) {
  const message = read(thrown, "message");
  if (typeof message === "string") return message;
  try {
    return typeof thrown === "object" && thrown !== null ? JSON.stringify(thrown) ?? "" : String(thrown);
  } catch {
    return "(what was thrown could not be read)";
  }
}

/** The stack from the first frame that is not the runner's to the last; the message alone when there is none. */
export function stackOf(thrown, root) {
  const stack = read(thrown, "stack");
  if (typeof stack !== "string") return tidy(messageOf(thrown));
  const lines = stack.split("\n").filter((line) => !/^\s+at /.test(line) || !isOwn(line));
  return tidy(relative(lines.join("\n"), root));
}

/** The text with the project's paths made relative to it. */
export function relative(text, root) {
  if (!root) return text;
  const folder = root.endsWith("/") ? root : `${root}/`;
  return text.replaceAll(`file://${folder}`, "").replaceAll(folder, "");
}

function isOwn(line) {
  return line.includes(OWN_FOLDER) || line.includes("node:internal/") || line.includes("(node:async_hooks");
}

function nameOf(thrown) {
  const constructor = read(thrown, "constructor");
  const name = read(thrown, "name") ?? read(constructor, "name");
  return cutText(typeof name === "string" && name ? name : typeof thrown, MAX_NAME_BYTES);
}

/** A property of a value that may be anything, a proxy or an object with throwing getters included. */
function read(value, key) {
  try {
    return value?.[key];
  } catch {
    return undefined;
  }
}

/** Without the colours that Playwright puts into its messages, and cut. */
function tidy(text) {
  return cutText(stripVTControlCharacters(text), MAX_TEXT_BYTES);
}
