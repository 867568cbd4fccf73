// How this process ends, whatever user code is doing: this is the main thread's end of the watchdog.
//
// `leave` is the only way out that counts. It hands the work to the watchdog, which kills the browser and every other
// child and then ends the process; user code may go on for the few milliseconds this takes, but nothing of it reaches
// the worker any more than what the socket already carries. `process.exit` by user code ends the process at once with
// its own code; the exit handler here takes the children along.

import { Worker } from "node:worker_threads";
import { killDescendants } from "./processes.mjs";

// User code may replace process.exit and its handlers may hang; this one runs nothing.
const reallyExit = process.reallyExit.bind(process);
const KILLING_AT_EXIT_MS = 500;

export class Lifeline {
  #watchdog;
  #receive = () => {};

  constructor(socketPath) {
    this.#watchdog = new Worker(new URL("./watchdog.mjs", import.meta.url), {
      workerData: { path: socketPath },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 128, stackSizeMb: 1 },
    });
    // Without its watchdog this process could outlive its worker.
    this.#watchdog.on("error", (error) => {
      process._rawDebug(`keywright runner: the watchdog failed: ${error.stack ?? error}`);
      killDescendants(KILLING_AT_EXIT_MS);
      reallyExit(1);
    });
    process.on("exit", () => killDescendants(KILLING_AT_EXIT_MS));
  }

  /** The descriptor of the connected socket. */
  connected() {
    return new Promise((resolve) => {
      this.#watchdog.on("message", (message) => {
        if ("frame" in message) this.#receive(Buffer.from(message.frame.buffer));
        else if ("connected" in message) resolve(message.connected);
        else reallyExit(message.exit);
      });
    });
  }

  /** Where frames go from now on. */
  onFrame(receive) {
    this.#receive = receive;
  }

  /** End the process. The returned promise never settles. */
  leave(code) {
    this.#watchdog.postMessage({ leave: code });
    return new Promise(() => {});
  }
}
