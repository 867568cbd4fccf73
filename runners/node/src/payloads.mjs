// Extended payloads on their way out: checked, then cut into frames that fit.
//
// Refused: an item without `api` or `parameters`, parameters that are not a JSON object, an item too big for one frame.
// Sent only when the attempt succeeded; if the process dies between two frames there is no `done`, and the worker drops
// them all.

import { InvalidOutput, toPlain } from "./output.mjs";
import { MAX_FRAME_BYTES } from "./protocol.mjs";

// Far enough below the frame's limit for the envelope, small enough not to stall other messages.
const FRAME_BYTES = MAX_FRAME_BYTES / 2;
const ITEM_BYTES = MAX_FRAME_BYTES - 4096;

/** The collected payloads in wire form. Throws InvalidOutput. */
export function toItems(collected) {
  return collected.map((payload, number) => {
    const name = `extended payload ${number}`;
    if (payload === null || typeof payload !== "object" || !("api" in payload) || !("parameters" in payload)) {
      throw new InvalidOutput(`${name} needs the keys api and parameters`);
    }
    if (typeof payload.api !== "string") throw new InvalidOutput(`the api of ${name} is not a text`);
    const parameters = toPlain(payload.parameters, `the parameters of ${name}`);
    if (parameters === null || typeof parameters !== "object" || Array.isArray(parameters)) {
      throw new InvalidOutput(`the parameters of ${name} are not an object`);
    }
    const item = { api: toPlain(payload.api, `the api of ${name}`), parameters };
    const bytes = bytesOf(item);
    if (bytes > ITEM_BYTES) throw new InvalidOutput(`${name} has ${bytes} bytes, more than one message can hold`);
    return item;
  });
}

/** As many `payloads` messages as needed. */
export function* toFrames(attemptId, items) {
  let batch = [];
  let size = 0;
  for (const item of items) {
    const bytes = bytesOf(item) + 1;
    if (batch.length > 0 && size + bytes > FRAME_BYTES) {
      yield { type: "payloads", attemptId, items: batch };
      batch = [];
      size = 0;
    }
    batch.push(item);
    size += bytes;
  }
  if (batch.length > 0) yield { type: "payloads", attemptId, items: batch };
}

function bytesOf(item) {
  return Buffer.byteLength(JSON.stringify(item));
}
