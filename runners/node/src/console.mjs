// What user code prints becomes `log` messages.
//
// `console.*` is recognised by wrapping its methods: what they write while they run carries stream `console` and the
// method's level. Everything else written to process.stdout and process.stderr is cut at line ends and carries the
// stream's name. Which attempt a line belongs to is found through the scope; outside an attempt lines go to the real
// descriptors, where the worker keeps them as `process` lines.
// Limits: 64 KiB a line, 10 MiB an attempt, then one line that says so.
// If the process dies here, at most a line without its end is lost.

import { StringDecoder } from "node:string_decoder";
import * as scope from "./scope.mjs";
import { cutText } from "./protocol.mjs";

const LINE_BYTES = 64 * 1024;
const ATTEMPT_BYTES = 10 * 1024 * 1024;
const LEVELS = { debug: "debug", trace: "debug", warn: "warn", assert: "warn", error: "error" };
const PAGE_LEVELS = { error: "error", assert: "error", warning: "warn", debug: "debug", trace: "debug" };

/** The log of one attempt: counts, cuts, sends. */
export class AttemptLog {
  #link;
  #attemptId;
  #left = ATTEMPT_BYTES;
  #closed = false;
  #partial = new Map();

  constructor(link, attemptId) {
    this.#link = link;
    this.#attemptId = attemptId;
  }

  /** Text without regard to lines; the rest after the last line end waits for more of the same stream and level. */
  text(stream, level, text) {
    const key = `${stream} ${level}`;
    let { rest, isOverlong } = this.#partial.get(key) ?? { rest: "", isOverlong: false };
    let more = text;
    if (isOverlong) {
      // The line was sent, cut; what follows up to its end is the part that was cut off.
      const end = more.indexOf("\n");
      if (end < 0) return;
      more = more.slice(end + 1);
      isOverlong = false;
    }
    const lines = (rest + more).split("\n");
    rest = lines.pop();
    if (rest.length > LINE_BYTES) {
      lines.push(rest);
      rest = "";
      isOverlong = true;
    }
    if (rest || isOverlong) this.#partial.set(key, { stream, level, rest, isOverlong });
    else this.#partial.delete(key);
    for (const line of lines) this.line(stream, level, line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  /** One finished line. */
  line(stream, level, line) {
    if (this.#closed || this.#left < 0) return;
    let said = { stream, level, message: cutText(line, LINE_BYTES) };
    this.#left -= Buffer.byteLength(said.message);
    if (this.#left < 0) {
      const message = `the log of this attempt is over ${ATTEMPT_BYTES / 1024 / 1024} MiB; the rest is not kept`;
      said = { stream: "stderr", level: "warn", message };
    }
    this.#link.send({ type: "log", attemptId: this.#attemptId, timeMs: Date.now(), ...said });
  }

  /** Take no more lines: `done` is about to be sent. Lines that never got their end are sent first. */
  close() {
    for (const { stream, level, rest } of this.#partial.values()) {
      if (rest) this.line(stream, level, rest);
    }
    this.#partial.clear();
    this.#closed = true;
  }
}

/** The log level of a page's console message, by its type. */
export function pageLevel(type) {
  return PAGE_LEVELS[type] ?? "info";
}

let consoleLevel; // of the console method that is running, if one is

/** Replace the streams of this process; once, before any user code. */
export function redirect() {
  for (const [name, level] of [["stdout", "info"], ["stderr", "error"]]) redirectStream(process[name], name, level);
  for (const [name, method] of Object.entries(console)) {
    if (typeof method !== "function" || name === "Console") continue;
    const level = LEVELS[name] ?? "info";
    console[name] = {
      [name](...given) {
        const outer = consoleLevel;
        consoleLevel = level;
        try {
          return method.apply(this, given);
        } finally {
          consoleLevel = outer;
        }
      },
    }[name];
  }
}

function redirectStream(stream, name, level) {
  const decoders = { [name]: new StringDecoder("utf8"), console: new StringDecoder("utf8") };
  const write = stream.write;
  stream.write = function (chunk, encoding, done) {
    const log = scope.current()?.output;
    if (log === undefined || !(typeof chunk === "string" || chunk instanceof Uint8Array)) {
      return write.call(stream, chunk, encoding, done); // refuses what is not writable in its own words
    }
    const source = consoleLevel === undefined ? name : "console";
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, typeof encoding === "string" ? encoding : "utf8") : chunk;
    log.text(source, consoleLevel ?? level, decoders[source].write(bytes));
    const callback = typeof encoding === "function" ? encoding : done;
    if (typeof callback === "function") process.nextTick(callback);
    return true;
  };
}
