// The worker's side of the protocol, for tests: starts the real runner and speaks to it over a real socket.

import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { kill } from "../src/processes.mjs";
import { FrameSplitter, decode, encode } from "../src/protocol.mjs";

const MAIN = fileURLToPath(new URL("../src/main.mjs", import.meta.url));
const BUNDLE = fileURLToPath(new URL("../src/bundle.mjs", import.meta.url));
const PYTHON = fileURLToPath(new URL("../../python/.venv/bin/python", import.meta.url));
const PYTHON_SOURCE = fileURLToPath(new URL("../../python/src/", import.meta.url));
const EXAMPLES = fileURLToPath(new URL("../../../examples/", import.meta.url));
const SITE = path.join(EXAMPLES, "site/server.mjs");
export const CHROMIUM = process.env.KEYWRIGHT_TEST_CHROMIUM ?? "/usr/bin/chromium-headless-shell";
const ANSWER_WITHIN_MS = 30_000;

export const BROWSER = {
  executablePath: CHROMIUM,
  args: [],
  headless: true,
  sandbox: process.getuid() !== 0,
  debuggingPort: true,
  ignoreHttpsErrors: false,
  width: 1024,
  height: 800,
};

/** A runner process with its connection. Every message it sends is kept in `said`. */
export class RunnerUnderTest {
  said = [];
  stderr = "";
  #waiting = new Set();
  #nextAttempt = 1;
  #store = new Map();

  /** Start one; it is gone, with everything below it, when the test ends. */
  static async start(test, { env = {}, language = "node" } = {}) {
    const runner = new RunnerUnderTest();
    runner.folder = mkdtempSync(path.join(tmpdir(), "kw-runner-"));
    runner.slot = path.join(runner.folder, "slot");
    mkdirSync(runner.slot);
    const server = createServer();
    server.listen(path.join(runner.folder, "socket"));
    await once(server, "listening");
    const [program, args, own] = { node: [process.execPath, [MAIN], {}], python: [PYTHON, ["-m", "keywright_runner"], { PYTHONPATH: PYTHON_SOURCE }] }[language];
    runner.child = spawn(program, [...args, path.join(runner.folder, "socket")], {
      cwd: runner.slot,
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH, LANG: "C.UTF-8", KEYWRIGHT_SLOT_DIR: runner.slot, TMPDIR: runner.slot, HOME: runner.slot, ...own, ...env },
    });
    runner.exited = once(runner.child, "exit").then(
      ([code, signal]) => {
        runner.#wake();
        return { code, signal };
      },
      // It could not even be started, an interpreter that is not installed for one; whoever waits is told why.
      (error) => {
        runner.stderr += error.message;
        return { code: null, signal: null };
      },
    );
    for (const stream of ["stdout", "stderr"]) runner.child[stream].on("data", (data) => (runner.stderr += data));
    test.after(async () => {
      runner.child.kill("SIGKILL");
      await runner.exited;
      server.close();
      for (const pid of processesOf(runner.slot)) kill(pid);
      rmSync(runner.folder, { recursive: true, force: true, maxRetries: 5 });
    });
    const [socket] = await Promise.race([once(server, "connection"), runner.exited.then(() => Promise.reject(new Error(runner.stderr)))]);
    runner.socket = socket;
    const frames = new FrameSplitter();
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const body of frames.push(chunk)) runner.#heard(decode(body));
    });
    return runner;
  }

  /** Warm and bound to a project. */
  static async bound(test, root, { browser = {}, env = {}, isAuthEnabled = false, processEnv = {}, language } = {}) {
    const runner = await RunnerUnderTest.start(test, { env: processEnv, language });
    await runner.heard("hello");
    runner.send({ type: "warm", browser: { ...BROWSER, ...browser } });
    runner.ready = await runner.heard("ready");
    runner.send({ type: "bind", root, env, isAuthEnabled });
    await runner.heard("bound");
    return runner;
  }

  send(message) {
    this.socket.write(encode(message));
  }

  /** The next message that `wanted` (a type or a test) fits, from `from` on. */
  async heard(wanted, from = 0) {
    const fits = typeof wanted === "string" ? ({ type }) => type === wanted : wanted;
    const deadline = AbortSignal.timeout(ANSWER_WITHIN_MS);
    for (;;) {
      const found = this.said.slice(from).find(fits);
      if (found) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`the runner ended (${this.child.exitCode ?? this.child.signalCode}) before ${wanted}: ${this.stderr}`);
      }
      await new Promise((resolve, reject) => {
        this.#waiting.add(resolve);
        deadline.onabort = () => reject(new Error(`nothing heard of ${wanted}; ${this.stderr} ${JSON.stringify(this.said.slice(-5))}`));
      });
    }
  }

  /** Send a `start`; its id. */
  begin(name, parameters, more = {}) {
    const attemptId = `attempt-${this.#nextAttempt++}`;
    this.send({
      type: "start", attemptId, function: name, timeoutMs: 600_000, session: null, captureSession: false,
      viewport: { width: 1024, height: 800 }, timezone: null, locale: null, ignoreHttpsErrors: false, proxy: null, trace: null,
      context: { runId: "run-1", attemptNumber: 1, apiName: name, workspaceId: "w", projectName: "p" },
      authParameters: null, maxResultBytes: 2097152,
      ...(parameters === undefined ? {} : { parameters }), ...more,
    });
    return attemptId;
  }

  /** Run one attempt to its end: `{done, idle, logs, payloads, extends}`. */
  async run(name, parameters, more) {
    const attemptId = this.begin(name, parameters, more);
    return this.end(attemptId);
  }

  /** What an attempt said, once it is over. */
  async end(attemptId) {
    const of = (type) => (message) => message.type === type && message.attemptId === attemptId;
    const done = await this.heard(of("done"));
    const idle = await this.heard(of("idle"));
    return {
      done,
      idle,
      logs: this.said.filter(of("log")),
      payloads: this.said.filter(of("payloads")),
      extensions: this.said.filter(of("extend")),
      calls: this.said.filter(of("call")),
    };
  }

  #heard(message) {
    this.said.push(message);
    if (message.type === "call") this.#answer(message);
    this.#wake();
  }

  #wake() {
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }

  /** The platform's stores, in memory. */
  #answer({ attemptId, callId, method, params }) {
    const answers = {
      "kv.get": () => (this.#store.has(params.key) ? { found: true, value: this.#store.get(params.key) } : { found: false }),
      "file.store": () => ({ id: params.fileName, readUrl: `http://files.invalid/${statSync(params.path).size}` }),
      "kv.set": () => (this.#store.set(params.key, params.value), {}),
    };
    const reply = answers[method]
      ? { ok: true, value: answers[method]() }
      : { ok: false, error: { code: "not-supported", message: `no ${method} here` } };
    this.send({ type: "reply", attemptId, callId, ...reply });
  }
}

/** What lives as long as a whole suite: stands in for the test where something is started for all of them. */
export class Suite {
  #ends = [];

  after(end) {
    this.#ends.push(end);
  }

  async end() {
    for (const end of this.#ends.reverse()) await end();
  }
}

/** A copy of one of the example projects, bundled; gone when the test ends. */
export function project(test, name, more = {}) {
  const root = path.join(mkdtempSync(path.join(tmpdir(), "kw-project-")), path.basename(name));
  const source = [name, `fixtures/${name}`].map((one) => path.join(EXAMPLES, one)).find((one) => existsSync(one));
  cpSync(source, root, { recursive: true });
  for (const [file, text] of Object.entries(more)) writeFileSync(path.join(root, file), text);
  test.after(() => rmSync(path.dirname(root), { recursive: true, force: true }));
  return root;
}

/** A project made of these files, `{path: text}`; gone when the test ends. */
export function projectOf(test, files) {
  const root = path.join(mkdtempSync(path.join(tmpdir(), "kw-project-")), "project");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  }
  test.after(() => rmSync(path.dirname(root), { recursive: true, force: true }));
  return root;
}

/** What bundle.mjs prints for a project. */
export function bundle(root) {
  return JSON.parse(execFileSync(process.execPath, [BUNDLE, root], { encoding: "utf8" }));
}

/** The same as `project` or `projectOf`, bundled. */
export function bundled(test, what) {
  const isFolder = typeof what === "string" && path.isAbsolute(what);
  const root = isFolder ? what : typeof what === "string" ? project(test, what) : projectOf(test, what);
  assert.deepEqual(bundle(root).problems, []);
  return root;
}

/** The example site. */
export async function site(test, ...args) {
  const child = spawn(process.execPath, [SITE, "--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  test.after(async () => {
    child.kill("SIGTERM");
    await once(child, "exit");
  });
  const [line] = await once(child.stdout, "data");
  const answer = JSON.parse(line);
  return {
    ...answer,
    control: async (name, body = {}) =>
      (await fetch(`${answer.url}/__control/${name}`, { method: "POST", body: JSON.stringify(body) })).json(),
    state: async () => (await fetch(`${answer.url}/__control/state`)).json(),
  };
}

/** Waits until nothing of a slot runs any more. A killed browser needs a moment to be gone. */
export async function gone(slot) {
  const deadline = performance.now() + 10_000;
  while (processesOf(slot).length > 0) {
    assert.ok(performance.now() < deadline, `still there: ${processesOf(slot)}`);
    await new Promise((go) => setImmediate(go));
  }
}

/** Every process that mentions the folder in its command line or works in it: browsers have their profile there. */
export function processesOf(folder) {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).map(Number).filter((pid) => {
    try {
      return pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(folder);
    } catch {
      return false;
    }
  });
}
