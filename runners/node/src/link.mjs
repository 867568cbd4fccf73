// The connection to the worker: frames in from the watchdog, frames out by synchronous writes.
//
// A send returns when the kernel has the bytes: what was sent before `done` arrives before it, what user code printed
// before it killed the process is not lost, and a slow worker slows a flood of prints down instead of filling memory.
// Refused: frames that break the protocol (exit 70). If the process dies here the worker sees EOF and keeps what it got.

import { writeSync } from "node:fs";
import { Exit, ProtocolError, decode, encode } from "./protocol.mjs";

const FULL_PAUSE_MS = 2;

export class Link {
  #descriptor;
  #lifeline;
  #pause = new Int32Array(new SharedArrayBuffer(4));
  #gone = false;

  constructor(descriptor, lifeline) {
    this.#descriptor = descriptor;
    this.#lifeline = lifeline;
  }

  /** Send one message. Throws FrameTooBig, and TypeError for what JSON cannot carry. */
  send(message) {
    const frame = encode(message);
    let sent = 0;
    while (sent < frame.length && !this.#gone) {
      try {
        sent += writeSync(this.#descriptor, frame, sent);
      } catch (error) {
        if (error.code === "EAGAIN") {
          Atomics.wait(this.#pause, 0, 0, FULL_PAUSE_MS); // the worker reads slower than we write
        } else if (error.code !== "EINTR") {
          this.#gone = true; // the worker is gone; the watchdog is about to find out or already did
          this.#lifeline.leave(Exit.ORDERLY);
        }
      }
    }
  }

  /** Begin to receive; `receive` is called for every message, in order. */
  start(receive) {
    this.#lifeline.onFrame((body) => {
      try {
        receive(decode(body));
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.refuse(error);
      }
    });
  }

  /** End the process because the worker broke the protocol. */
  refuse(error) {
    process._rawDebug(`keywright runner: protocol error: ${error.message}`);
    this.#lifeline.leave(Exit.PROTOCOL);
  }
}
