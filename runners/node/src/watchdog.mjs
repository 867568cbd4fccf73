// The thread that notices the end, whatever the main thread is doing.
//
// It owns the socket's receiving half, so EOF is seen while user code blocks the event loop, and it hands every whole
// frame to the main thread. TERM and INT arrive here too: libuv delivers a signal to every loop that asks for it, but
// Node lets only the main thread ask through `process.on`, hence the binding below. A parent that died without closing
// the socket (it was inherited) is noticed by its absence.
//
// To leave: kill everything below the process, delete what the browser left, and end the process with the right code,
// first by asking the main thread, then by evaluating the exit in it through the inspector, which interrupts a running
// loop. Neither reaches a main thread that waits inside the kernel (`execSync`); then the process kills itself, and what
// it says is the signal instead of the code. The protocol allows 2 s for all of it.

import { Session } from "node:inspector";
import { connect } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { killDescendants, removeBrowserLeftovers } from "./processes.mjs";
import { Exit, FrameSplitter } from "./protocol.mjs";

const KILLING_MS = 700;
const ASKING_MS = 100;
const EVALUATING_MS = 300;
const PARENT_LOOK_MS = 500;
const TERM = 15;
const INT = 2;

let leaving = false;

/** End the process with `code`; only the first call counts. */
function leave(code) {
  if (leaving) return;
  leaving = true;
  killDescendants(KILLING_MS);
  removeBrowserLeftovers();
  parentPort.postMessage({ exit: code });
  setTimeout(() => {
    setTimeout(() => process.kill(process.pid, "SIGKILL"), EVALUATING_MS);
    const session = new Session();
    session.connectToMainThread();
    session.post("Runtime.evaluate", { expression: `process.reallyExit(${code})` });
  }, ASKING_MS);
}

function watchSignals() {
  const { noDeprecation } = process;
  process.noDeprecation = true;
  const { Signal } = process.binding("signal_wrap");
  process.noDeprecation = noDeprecation;
  return [TERM, INT].map((number) => {
    const signal = new Signal();
    signal.onsignal = () => leave(Exit.ORDERLY);
    const error = signal.start(number);
    if (error !== 0) throw new Error(`signal ${number} cannot be watched: ${error}`);
    return signal;
  });
}

function watchParent() {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) leave(Exit.ORDERLY);
  }, PARENT_LOOK_MS);
}

function watchSocket(path) {
  const socket = connect({ path, readableHighWaterMark: 1 << 20 });
  const frames = new FrameSplitter();
  // The main thread writes to the descriptor itself, synchronously, so that what was said before a crash is said.
  socket.on("connect", () => parentPort.postMessage({ connected: socket._handle.fd }));
  socket.on("data", (chunk) => {
    try {
      for (const body of frames.push(chunk)) {
        const copy = new Uint8Array(body); // of its own, so that it can be handed over
        parentPort.postMessage({ frame: copy }, [copy.buffer]);
      }
    } catch (error) {
      process._rawDebug(`keywright runner: protocol error: ${error.message}`);
      leave(Exit.PROTOCOL);
    }
  });
  socket.on("end", () => leave(Exit.ORDERLY));
  socket.on("close", () => leave(Exit.ORDERLY));
  socket.on("error", (error) => {
    process._rawDebug(`keywright runner: ${error.message}`);
    leave(socket.pending ? Exit.OTHER : Exit.ORDERLY);
  });
  return socket;
}

// Kept reachable: a collected signal handle would stop watching.
export const watched = [watchSignals(), watchParent(), watchSocket(workerData.path)];
parentPort.on("message", ({ leave: code }) => leave(code));
