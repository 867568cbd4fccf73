// Frames and words of the runner protocol; no sockets, no threads.
//
// A frame is a 4-byte big-endian length and that many bytes of strict UTF-8 JSON. Refused in both directions: lone
// surrogates, frames over 16 MiB, anything that is not an object with a text `type` (JSON.stringify turns NaN and
// Infinity into null; what user code returns is checked for them before, in output.mjs). Nothing here but the splitter
// has state, so nothing is lost if the process dies here.

export const PROTOCOL_VERSION = 1;
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;
export const HEADER_BYTES = 4;

export const Exit = Object.freeze({ ORDERLY: 0, OTHER: 1, PROTOCOL: 70, NO_BROWSER: 71 });

export const Code = Object.freeze({
  USER_ERROR: "user-error",
  NOT_FOUND: "not-found",
  INVALID_OUTPUT: "invalid-output",
  RESULT_TOO_BIG: "result-too-big",
  ABORTED: "aborted",
  SLOT_FAILED: "slot-failed",
  CAPTURE_FAILED: "capture-failed",
});

/** The other side broke the protocol; the process ends with code 70. */
export class ProtocolError extends Error {}

/** A message of ours does not fit into one frame. */
export class FrameTooBig extends Error {}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The frame of one message, header included. Throws FrameTooBig, and TypeError for a lone surrogate. */
export function encode(message) {
  const text = JSON.stringify(message);
  // JSON.stringify writes a lone surrogate, and nothing else, as an escape that begins with \ud.
  if (text.includes("\\ud") && !isWellFormed(message)) {
    throw new TypeError(`a ${message.type} message holds a lone surrogate`);
  }
  const length = Buffer.byteLength(text);
  if (length > MAX_FRAME_BYTES) throw new FrameTooBig(`a ${message.type} message of ${length} bytes is over ${MAX_FRAME_BYTES}`);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  frame.writeUInt32BE(length);
  frame.write(text, HEADER_BYTES);
  return frame;
}

/** The message in a frame's body. Throws ProtocolError. */
export function decode(body) {
  let message;
  try {
    const text = strict.decode(body);
    message = JSON.parse(text);
    if (/\\ud/i.test(text) && !isWellFormed(message)) throw new SyntaxError("a lone surrogate");
  } catch (error) {
    throw new ProtocolError(`a frame does not parse: ${error.message}`);
  }
  if (message === null || typeof message !== "object" || Array.isArray(message) || typeof message.type !== "string") {
    throw new ProtocolError("a message must be an object with a type");
  }
  return message;
}

/** Cuts a stream of bytes into frame bodies; refuses a length over the limit before its bytes are kept. */
export class FrameSplitter {
  #parts = [];
  #have = 0;
  #need = HEADER_BYTES;
  #inBody = false;

  /** The bodies that `chunk` completes. Throws ProtocolError. */
  *push(chunk) {
    this.#parts.push(chunk);
    this.#have += chunk.length;
    while (this.#have >= this.#need) {
      const whole = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts, this.#have);
      const piece = whole.subarray(0, this.#need);
      this.#have -= this.#need;
      this.#parts = this.#have === 0 ? [] : [whole.subarray(piece.length)];
      if (this.#inBody) {
        this.#need = HEADER_BYTES;
        this.#inBody = false;
        yield piece;
      } else {
        this.#need = piece.readUInt32BE(0);
        if (this.#need > MAX_FRAME_BYTES) throw new ProtocolError(`a frame of ${this.#need} bytes is over ${MAX_FRAME_BYTES}`);
        this.#inBody = true;
      }
    }
  }
}

/** Whether every text in a JSON value, keys included, is well-formed UTF-16. */
export function isWellFormed(value) {
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === "string") {
      if (!next.isWellFormed()) return false;
    } else if (Array.isArray(next)) {
      for (const item of next) open.push(item);
    } else if (next !== null && typeof next === "object") {
      for (const [key, item] of Object.entries(next)) open.push(key, item);
    }
  }
  return true;
}

/** The text without lone surrogates and cut to `limit` UTF-8 bytes, never inside a character. */
export function cutText(text, limit) {
  const clean = text.toWellFormed();
  // A UTF-16 unit is at most three bytes, so short texts need no counting.
  if (clean.length * 3 <= limit || Buffer.byteLength(clean) <= limit) return clean;
  const data = Buffer.from(clean);
  let end = limit;
  while (end > 0 && (data[end] & 0xc0) === 0x80) end -= 1;
  return data.toString("utf8", 0, end);
}
