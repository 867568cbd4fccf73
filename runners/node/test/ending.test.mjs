// How a runner ends: by shutdown, by EOF, by a signal, by the user's code, by the other side's mistakes. Nothing of it
// may be left, whatever the event loop is doing.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { encode } from "../src/protocol.mjs";
import { BROWSER, RunnerUnderTest, Suite, bundled, gone } from "./worker.mjs";

const ENDS_WITHIN_MS = 2000;
/** The promise is 2 s; a loaded machine may be slower without the promise being broken by the code. */
const GENEROUS = 3;

const FILES = {
  "package.json": "{}",
  "api/fine.ts": "export default async () => 1",
  "api/loops.ts": 'export default async () => { console.log("stuck"); for (;;) Math.sqrt(2); }',
  "api/sleeps.ts": 'import { execSync } from "node:child_process";\nexport default async () => { console.log("stuck"); execSync("sleep 600"); }',
  "api/waits.ts": 'export default async (p: any, page: any) => { console.log("stuck"); await page.waitForFunction(() => false, null, { timeout: 0 }); }',
  "api/deaf.ts": 'export default async () => { process.on("SIGTERM", () => {}); process.on("exit", () => { for (;;); }); console.log("stuck"); await new Promise(() => setInterval(() => {}, 1000)); }',
  "api/exits.ts": 'export default async () => { console.log("last words"); process.exit(3); }',
  "api/killed.ts": 'export default async () => { console.log("last words"); process.kill(process.pid, "SIGKILL"); }',
  "api/closes.ts": "export default async (p: any, page: any) => { await page.context().browser().close(); return page.title(); }",
};

describe("a runner ends", () => {
  const suite = new Suite();
  after(() => suite.end());
  let root;
  before(() => {
    root = bundled(suite, FILES);
  });

  for (const [how, end] of [
    ["EOF", (runner) => runner.socket.end()],
    ["TERM", (runner) => runner.child.kill("SIGTERM")],
  ]) {
    for (const name of ["loops", "waits", "sleeps", "deaf"]) {
      test(`within 2 s of ${how} while user code ${name}, and leaves nothing`, async (t) => {
        const runner = await RunnerUnderTest.bound(t, root);
        runner.begin(`api/${name}`, {});
        await runner.heard(({ type, message }) => type === "log" && message === "stuck");
        const startedMs = performance.now();
        end(runner);
        const ended = await runner.exited;
        // A thread that waits in the kernel may not be back in time to say 0; then the process has killed itself.
        if (name !== "sleeps" || ended.signal !== "SIGKILL") assert.deepEqual(ended, { code: 0, signal: null });
        assert.ok(performance.now() - startedMs < ENDS_WITHIN_MS * GENEROUS);
        await gone(runner.slot);
        assert.deepEqual(readdirSync(runner.slot).filter((entry) => entry.startsWith("playwright")), []);
      });
    }

    test(`within 2 s of ${how} while idle`, async (t) => {
      const runner = await RunnerUnderTest.bound(t, root);
      end(runner);
      assert.deepEqual(await runner.exited, { code: 0, signal: null });
      await gone(runner.slot);
    });
  }

  test("after shutdown, with 0", async (t) => {
    const runner = await RunnerUnderTest.bound(t, root);
    assert.equal((await runner.run("api/fine", {})).done.result, 1);
    runner.send({ type: "shutdown" });
    assert.deepEqual(await runner.exited, { code: 0, signal: null });
    await gone(runner.slot);
  });

  test("an abort is answered although user code waits, and retires the slot", async (t) => {
    const runner = await RunnerUnderTest.bound(t, root);
    const attemptId = runner.begin("api/waits", {});
    await runner.heard(({ type, message }) => type === "log" && message === "stuck");
    runner.send({ type: "abort", attemptId: "another" });
    runner.send({ type: "abort", attemptId });
    const { done, idle } = await runner.end(attemptId);
    assert.deepEqual([done.ok, done.error.code], [false, "aborted"]);
    assert.deepEqual([idle.reusable, idle.reason], [false, "the attempt was aborted"]);
    runner.send({ type: "shutdown" });
    assert.deepEqual(await runner.exited, { code: 0, signal: null });
  });

  test("an abort before user code began keeps it from beginning", async (t) => {
    const runner = await RunnerUnderTest.bound(t, root);
    const attemptId = runner.begin("api/fine", {}, { locale: "de-DE" });
    runner.send({ type: "abort", attemptId });
    const { done } = await runner.end(attemptId);
    assert.equal(done.error.code, "aborted");
    runner.send({ type: "shutdown" });
    await runner.exited;
    assert.equal(runner.said.filter(({ type }) => type === "running").length, 0);
  });

  test("with the user's own code, and what was printed before is not lost", async (t) => {
    for (const [name, end] of [["exits", { code: 3, signal: null }], ["killed", { code: null, signal: "SIGKILL" }]]) {
      const runner = await RunnerUnderTest.bound(t, root);
      runner.begin(`api/${name}`, {});
      assert.deepEqual(await runner.exited, end);
      await gone(runner.slot);
      assert.deepEqual(runner.said.filter(({ type }) => type === "log").map(({ message }) => message), ["last words"]);
      assert.equal(runner.said.filter(({ type }) => type === "done").length, 0);
    }
  });

  test("a browser that user code closed fails the attempt and retires the slot", async (t) => {
    const runner = await RunnerUnderTest.bound(t, root);
    const { done, idle } = await runner.run("api/closes", {});
    assert.equal(done.error.code, "user-error");
    assert.deepEqual([idle.reusable, idle.reason], [false, "the browser is gone"]);
    const { done: next } = await runner.run("api/fine", {});
    assert.deepEqual([next.error.code, next.error.retryable], ["slot-failed", true]);
  });

  test("a browser that does not start is told, and the exit is 71", async (t) => {
    const runner = await RunnerUnderTest.start(t);
    await runner.heard("hello");
    runner.send({ type: "warm", browser: { ...BROWSER, executablePath: "/nowhere/chromium" } });
    const { stage, message } = await runner.heard("failed");
    assert.equal(stage, "warm");
    assert.match(message, /\/nowhere\/chromium/);
    assert.deepEqual(await runner.exited, { code: 71, signal: null });
  });

  for (const [what, messages] of [
    ["an unknown type", [{ type: "surprise" }]],
    ["start before warm", [{ type: "start", attemptId: "a", function: "api/fine" }]],
    ["bind twice", [{ type: "bind", root: "/tmp", env: {} }, { type: "bind", root: "/tmp", env: {} }]],
    ["a malformed warm", [{ type: "warm", browser: {} }]],
    ["a malformed bind", [{ type: "bind", root: 1 }]],
    ["a malformed inspect", [{ type: "inspect", root: "/tmp" }]],
  ]) {
    test(`with 70 after ${what}`, async (t) => {
      const runner = await RunnerUnderTest.start(t);
      await runner.heard("hello");
      for (const message of messages) runner.send(message);
      assert.deepEqual(await runner.exited, { code: 70, signal: null });
      assert.match(runner.stderr, /protocol error/);
    });
  }

  test("with 70 after a frame that does not parse or is too long", async (t) => {
    const tooLong = Buffer.alloc(4);
    tooLong.writeUInt32BE(16 * 1024 * 1024 + 1);
    const noJson = encode({ type: "x" });
    noJson[4] = 0xff;
    for (const bytes of [tooLong, noJson]) {
      const runner = await RunnerUnderTest.start(t);
      await runner.heard("hello");
      runner.socket.write(bytes);
      assert.deepEqual(await runner.exited, { code: 70, signal: null });
    }
  });

  test("a second start while one runs ends it with 70", async (t) => {
    const runner = await RunnerUnderTest.bound(t, root);
    runner.begin("api/waits", {});
    await runner.heard("running");
    runner.begin("api/fine", {});
    assert.deepEqual(await runner.exited, { code: 70, signal: null });
    await gone(runner.slot);
  });
});
