// One attempt after the other in the real runner with the real browser: what user code gets, and what comes of it.

import assert from "node:assert/strict";
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { RunnerUnderTest, Suite, bundle, bundled, projectOf, site } from "./worker.mjs";

describe("the unruly project", () => {
  const suite = new Suite();
  after(() => suite.end());
  let shop;
  let runner;
  before(async () => {
    shop = await site(suite);
    runner = await RunnerUnderTest.bound(suite, bundled(suite, "unruly-ts"), { env: { FROM_BIND: "yes" } });
  });

  test("hello, ready and bound say who is there", () => {
    const [hello, ready, bound] = runner.said;
    assert.deepEqual([hello.type, hello.protocol, hello.language, hello.pid], ["hello", 1, "node", runner.child.pid]);
    assert.equal(hello.languageVersion, process.versions.node);
    assert.equal(hello.playwrightVersion, "1.64.1");
    assert.match(ready.cdpUrl, /^ws:\/\/127\.0\.0\.1:\d+\/devtools\/browser\//);
    assert.match(ready.userAgent, / Chrome\//);
    assert.ok(ready.userAgent.includes(ready.browserVersion));
    assert.deepEqual(bound, { type: "bound" });
  });

  test("parameters go in and the result comes out", async () => {
    for (const value of [null, 0, "é😀", [1, [2]], { deep: { er: true } }]) {
      const { done, idle } = await runner.run("api/echo", { value });
      assert.deepEqual(done, { type: "done", attemptId: done.attemptId, ok: true, result: value });
      assert.deepEqual(idle, { type: "idle", attemptId: done.attemptId, reusable: true });
    }
    assert.equal((await runner.run("api/nothing", {})).done.result, null);
    assert.deepEqual((await runner.run("api/nested/deep-er/dashed-name", { value: 3 })).done.result, { name: "nested/deep-er/dashed-name", value: 3 });
  });

  test("what user code throws is told with its place in the TypeScript source", async () => {
    const { done, idle } = await runner.run("api/throws", { message: "on purpose" });
    const { stack, ...error } = done.error;
    assert.deepEqual(error, { code: "user-error", message: "on purpose", name: "TypeError", retryable: true });
    assert.match(stack, /^TypeError: on purpose\n    at automation \(api\/throws\.ts:8:9\)$/);
    assert.equal(idle.reusable, true);
  });

  test("a non-retryable error says so", async () => {
    const { error } = (await runner.run("api/non-retryable", { message: "never" })).done;
    assert.deepEqual([error.code, error.name, error.message, error.retryable], ["user-error", "RunError", "never", false]);
  });

  test("what is not JSON is an invalid output", async () => {
    for (const kind of ["nan", "infinity", "cycle", "function", "surrogate"]) {
      const { error } = (await runner.run("api/bad-result", { kind })).done;
      assert.deepEqual([error.code, error.retryable], ["invalid-output", true], kind);
    }
  });

  test("a result is measured in UTF-8 bytes of its JSON", async () => {
    const { error } = (await runner.run("api/big-result", {})).done;
    assert.deepEqual([error.code, error.retryable], ["result-too-big", false]);
    const limit = { maxResultBytes: 100 };
    assert.equal((await runner.run("api/echo", { value: "é".repeat(49) }, limit)).done.ok, true);
    assert.equal((await runner.run("api/echo", { value: "é".repeat(50) }, limit)).done.error.code, "result-too-big");
  });

  test("an unknown name is not found, and no name leaves the project", async () => {
    for (const name of ["api/nope", "api/../../secrets", "api", "/etc/passwd", "api//echo"]) {
      const { error } = (await runner.run(name, {})).done;
      assert.deepEqual([error.code, error.retryable], ["not-found", false], name);
    }
  });

  test("every way to print becomes a line with its stream and level", async () => {
    const { logs } = await runner.run("api/prints-kinds", {});
    assert.deepEqual(logs.map(({ stream, level, message }) => [stream, level, message]), [
      ["console", "info", "by log { answer: 42 }"],
      ["console", "warn", "by warn"],
      ["console", "error", "by error"],
      ["stdout", "info", "by stdout"],
      ["stderr", "error", "by stderr"],
      ["page", "info", "by page"],
    ]);
    for (const { timeMs } of logs) assert.ok(Math.abs(timeMs - Date.now()) < 60_000);
  });

  test("what is written in halves is one line", async () => {
    const { logs } = await runner.run("api/prints-secret", { secret: "left-right" });
    assert.equal(logs.at(-1).message, "split left-right");
  });

  test("a flood of lines arrives whole and in order before done", async () => {
    const { logs, done } = await runner.run("api/prints-much", { lines: 5000 });
    assert.equal(logs.length, 5000);
    assert.deepEqual(logs.map(({ message }) => Number.parseInt(message, 10)), Array.from({ length: 5000 }, (_, line) => line));
    assert.ok(runner.said.indexOf(logs.at(-1)) < runner.said.indexOf(done));
  });

  test("both stores keep what they are given", async () => {
    const result = { after: ["kept"], attempt: true, attemptNull: true, attemptMissing: true };
    assert.deepEqual((await runner.run("api/stores", { key: "k", value: ["kept"] })).done.result, { before: "missing", ...result });
    assert.deepEqual((await runner.run("api/stores", { key: "k", value: ["kept"] })).done.result, { before: ["kept"], ...result });
  });

  test("a bad key is refused before it is asked for", async () => {
    const { done, calls } = await runner.run("api/bad-key", {});
    assert.equal(done.error.name, "ZodError");
    assert.deepEqual(calls, []);
  });

  test("the hook gets url, name and parameters, and its failure is the user's", async () => {
    const { result } = (await runner.run("api/hook-seen", { x: 1 })).done;
    assert.deepEqual(result, { cdpUrl: runner.ready.cdpUrl, apiName: "api/hook-seen", apiParameters: { x: 1 } });
    const { error } = (await runner.run("api/echo", { hookThrows: true })).done;
    assert.deepEqual([error.code, error.message], ["user-error", "the hook threw"]);
    assert.match(error.stack, /hooks\/setupContext\.ts:6/);
  });

  test("payloads are sent before done, and only after success", async () => {
    const { payloads, done, extensions } = await runner.run("api/extends-payload", {});
    assert.deepEqual(payloads.flatMap(({ items }) => items), [
      { api: "echo", parameters: { value: 1 } },
      { api: "nested/deep-er/dashed-name", parameters: { value: [2] } },
      { api: "echo", parameters: {} },
    ]);
    assert.ok(runner.said.indexOf(payloads[0]) < runner.said.indexOf(done));
    assert.equal(extensions.length, 1);
    assert.deepEqual((await runner.run("api/extends-payload", { fails: true })).payloads, []);
  });

  test("absent ids are undefined to the code", async () => {
    const context = { runId: "r", jobId: null, jobRunId: "jr", attemptNumber: 2, apiName: "api/context-info", workspaceId: "w", projectName: "p" };
    assert.deepEqual((await runner.run("api/context-info", {}, { context })).done.result, {
      runId: "r", jobId: null, jobRunId: "jr", authSessionId: null,
    });
  });

  test("the page sees an ordinary browser of the size, language and time zone asked for", async () => {
    const look = async (more) => (await runner.run("api/what-the-page-sees", { visit: `${shop.url}/` }, more)).done.result;
    const plain = await look();
    assert.doesNotMatch(JSON.stringify(plain), /headless/i);
    assert.deepEqual([plain.webdriver, plain.innerWidth, plain.innerHeight, plain.userAgent], [false, 1024, 800, runner.ready.userAgent]);
    assert.ok(plain.brands.includes("Chromium"));
    const asked = await look({ viewport: { width: 640, height: 480 }, locale: "de-DE", timezone: "Asia/Tokyo" });
    assert.deepEqual([asked.innerWidth, asked.innerHeight, asked.language, asked.timeZone], [640, 480, "de-DE", "Asia/Tokyo"]);
    assert.deepEqual(asked.brands, plain.brands);
  });

  test("the next attempt finds no cookies, no storage and no pages of the one before", async () => {
    const found = async () => (await runner.run("api/leftovers", { visit: `${shop.url}/` })).done.result;
    const { cookies, stored, pages } = await found();
    assert.deepEqual({ cookies, stored, pages }, { cookies: 0, stored: 0, pages: 1 });
    const again = await found();
    assert.deepEqual([again.cookies, again.stored, again.pages], [0, 0, 1]);
    assert.equal(again.marks > 0, true, "the module's globals are those of the same process");
  });

  test("a trace is complete when done is sent, also after a failure", async () => {
    for (const name of ["api/echo", "api/throws"]) {
      const file = path.join(runner.slot, `${path.basename(name)}.zip`);
      const id = runner.begin(name, { visit: `${shop.url}/` }, { trace: { path: file, screenshots: true, snapshots: true, sources: true } });
      await runner.heard((message) => message.type === "done" && message.attemptId === id);
      assert.equal(readFileSync(file).subarray(0, 4).toString("latin1"), "PK\x03\x04");
      assert.ok(readFileSync(file).includes("PK\x05\x06", "latin1"), "the zip has its end");
      await runner.end(id);
    }
  });

  test("a trace that cannot be written does not fail the attempt", async () => {
    const file = path.join(process.execPath, "trace.zip");
    const { done, logs } = await runner.run("api/echo", { value: 1 }, { trace: { path: file, screenshots: false, snapshots: false, sources: false } });
    assert.equal(done.ok, true);
    assert.match(logs.at(-1).message, /^the trace of this attempt could not be written/);
    assert.ok(!existsSync(file));
  });

  test("a proxy is used, with its own context", async () => {
    const proxied = await site(suite, "--proxy-port", "0");
    const { done } = await runner.run("api/echo", { visit: `${proxied.url}/orders`, value: 1 }, { proxy: { server: proxied.proxyUrl } });
    assert.equal(done.ok, true, JSON.stringify(done));
    assert.ok((await proxied.state()).proxy !== null);
  });

  test("a child process that was left behind is ended and the slot retired", async () => {
    const mark = `mark-${process.pid}-${Date.now()}`;
    const { done, idle } = await runner.run("api/leaks", { mark });
    assert.equal(done.result, "left");
    assert.equal(idle.reusable, false);
    assert.match(idle.reason, /child process|timer/);
  });
});

describe("code of our own", () => {
  const suite = new Suite();
  after(() => suite.end());
  const FILES = {
    "package.json": "{}",
    "api/env.ts": "export default async () => process.env.FROM_BIND ?? null",
    "api/burst.ts": [
      'import { extendTimeout } from "@intuned/runtime";',
      "export default async () => { for (let n = 0; n < 100; n += 1) extendTimeout(); }",
    ].join("\n"),
    "api/attributes.ts": [
      'import { setAttribute, deleteAttribute } from "@intuned/runtime";',
      'export default async ({ fails }: any) => { setAttribute("a", 1); setAttribute("b", ["x"]); setAttribute("c", true); deleteAttribute("c"); if (fails) throw new Error("no"); }',
    ].join("\n"),
    "api/long-log.ts": 'export default async () => { const line = "x".repeat(70_000); for (let n = 0; n < 170; n += 1) console.log(line); }',
    "api/thrown.ts": 'export default async ({ kind }: any) => { throw { text: "just text", nothing: undefined, object: { message: "like an error", code: 7 } }[kind as string]; }',
    "api/rejection.ts": 'export default async () => { Promise.reject(new Error("nobody cares")); await new Promise((go) => setTimeout(go, 20)); return "went on"; }',
    "api/uncaught.ts": 'export default async () => { setTimeout(() => { throw new RangeError("from a timer"); }, 1); await new Promise(() => setInterval(() => {}, 1000)); }',
    "api/timer.ts": "export default async () => { setInterval(() => {}, 1000); }",
    "api/timers-ended.ts": [
      'import { promisify } from "node:util";',
      'import { setTimeout as set } from "node:timers";',
      "export default async () => {",
      "  clearInterval(setInterval(() => {}, 1000));",
      "  setTimeout(() => {}, 100_000).unref();",
      "  for (let n = 0; n < 3000; n += 1) clearTimeout(set(() => {}, 100_000));",
      '  return promisify(setTimeout)(1, "ended");',
      "};",
    ].join("\n"),
    "api/late.ts": 'import { extendPayload } from "@intuned/runtime";\nexport default async () => { setTimeout(() => { console.log("late"); extendPayload({ api: "x", parameters: {} }); }, 100).unref(); return 1; }',
    "api/patient.ts": "export default async () => { await new Promise((go) => setTimeout(go, 300)); return 2; }",
    "api/popup.ts": [
      "export default async ({ url }: any, page: any) => {",
      "  await page.goto(url);",
      "  const [popup] = await Promise.all([page.context().waitForEvent('page'), page.evaluate(() => void window.open('/popup'))]);",
      "  await popup.waitForLoadState();",
      "  return 1;",
      "}",
    ].join("\n"),
    "auth-sessions/check.ts": "export default async (...given: any[]) => [given.length, typeof given[0].goto, typeof given[1].newPage]",
  };
  let runner;
  before(async () => {
    runner = await RunnerUnderTest.bound(suite, bundled(suite, FILES), { env: { FROM_BIND: "yes" } });
  });

  test("the project's variables are in the environment", async () => {
    assert.equal((await runner.run("api/env", {})).done.result, "yes");
  });

  test("check is called with page and context alone", async () => {
    assert.deepEqual((await runner.run("auth-sessions/check")).done.result, [2, "function", "function"]);
  });

  test("a hundred extensions at once are one message", async () => {
    assert.equal((await runner.run("api/burst", {})).extensions.length, 1);
  });

  test("attributes are reported on success and on failure", async () => {
    for (const fails of [false, true]) {
      assert.deepEqual((await runner.run("api/attributes", { fails })).done.attributes, { a: 1, b: ["x"] });
    }
  });

  test("lines are cut at 64 KiB and the log ends at 10 MiB with one line that says so", async () => {
    const { logs } = await runner.run("api/long-log", {});
    assert.equal(logs.length, 161);
    assert.ok(logs.slice(0, 160).every(({ message }) => message.length === 65_536));
    assert.match(logs.at(-1).message, /over 10 MiB/);
  });

  test("anything can be thrown", async () => {
    const errors = {};
    for (const kind of ["text", "nothing", "object"]) errors[kind] = (await runner.run("api/thrown", { kind })).done.error;
    assert.deepEqual([errors.text.code, errors.text.message, errors.text.name], ["user-error", "just text", "String"]);
    assert.deepEqual([errors.nothing.code, errors.nothing.message], ["user-error", "undefined"]);
    assert.deepEqual([errors.object.message, errors.object.name], ["like an error", "Object"]);
  });

  test("a rejection nobody handles is logged, and the function's own end decides", async () => {
    const { done, logs, idle } = await runner.run("api/rejection", {});
    assert.equal(done.result, "went on");
    assert.match(logs[0].message, /^unhandled rejection: Error: nobody cares\n    at .*api\/rejection\.ts:1/);
    assert.equal(idle.reusable, true);
  });

  test("what an attempt left behind does not reach the next one", async () => {
    const first = await runner.run("api/late", {});
    const second = await runner.run("api/patient", {});
    assert.equal(first.done.ok, true);
    assert.deepEqual([second.done.result, second.logs, second.payloads], [2, [], []]);
  });

  test("a popup's very first request does not say Headless either", async () => {
    const { createServer } = await import("node:http");
    const seen = [];
    const server = createServer((request, response) => {
      seen.push([request.url, request.headers["user-agent"], request.headers["sec-ch-ua"]]);
      response.setHeader("content-type", "text/html").end("<title>x</title>");
    });
    server.listen(0, "127.0.0.1");
    await new Promise((go) => server.once("listening", go));
    const { done } = await runner.run("api/popup", { url: `http://127.0.0.1:${server.address().port}/` });
    server.close();
    server.closeAllConnections();
    assert.equal(done.ok, true, JSON.stringify(done));
    assert.ok(seen.some(([url]) => url === "/popup"));
    for (const [url, userAgent, brands] of seen) assert.doesNotMatch(`${userAgent} ${brands}`, /headless/i, url);
    assert.match(seen[0][2], /Chromium/);
  });

  test("timers that have ended do not matter", async () => {
    const { done, idle } = await runner.run("api/timers-ended", {});
    assert.deepEqual([done.result, idle.reusable], ["ended", true]);
  });

  test("a timer that was left running retires the slot", async () => {
    const own = await RunnerUnderTest.bound(suite, bundled(suite, FILES));
    const { done, idle } = await own.run("api/timer", {});
    assert.deepEqual([done.ok, idle.reusable, idle.reason], [true, false, "a timer of the user was left running"]);
  });

  test("an exception nobody catches ends the attempt as the user's error and retires the slot", async () => {
    const own = await RunnerUnderTest.bound(suite, bundled(suite, FILES));
    const { done, idle, logs } = await own.run("api/uncaught", {});
    assert.deepEqual([done.error.code, done.error.name, done.error.message], ["user-error", "RangeError", "from a timer"]);
    assert.match(done.error.stack, /api\/uncaught\.ts:1/);
    assert.match(logs[0].message, /^uncaught: RangeError/);
    assert.equal(idle.reusable, false);
  });
});

describe("a hook that brings its own context", () => {
  const suite = new Suite();
  after(() => suite.end());
  const FILES = {
    "package.json": "{}",
    "hooks/setupContext.ts": [
      'import { chromium } from "playwright";',
      'import { attemptStore } from "@intuned/runtime";',
      "export default async ({ cdpUrl, apiParameters }: any) => {",
      '  if (apiParameters?.returns === "nonsense") return 5;',
      "  const browser = await chromium.connectOverCDP(cdpUrl);",
      "  const context = await browser.newContext();",
      "  const page = await context.newPage();",
      '  attemptStore.set("context", context);',
      '  const cleanup = async () => { console.log("cleaned up"); await browser.close(); };',
      '  return apiParameters?.returns === "list" ? [context, page, cleanup] : { context, page, cleanup };',
      "};",
    ].join("\n"),
    "api/uses.ts": [
      'import { attemptStore } from "@intuned/runtime";',
      "export default async ({ url }: any, page: any, context: any) => {",
      "  await page.goto(url);",
      '  const before = await page.evaluate(() => localStorage.getItem("kept"));',
      '  await page.evaluate(() => localStorage.setItem("kept", "by the hook\'s context"));',
      '  return [context === attemptStore.get("context"), page.context() === context, before];',
      "};",
    ].join("\n"),
  };

  test("has it used, filled, cleaned up and closed", async (t) => {
    const shop = await site(t);
    const runner = await RunnerUnderTest.bound(suite, bundled(suite, FILES));
    const session = {
      version: 1, cookies: [],
      origins: [{ origin: shop.url, localStorage: [{ name: "kept", value: "restored" }], sessionStorage: [], indexedDB: [] }],
    };
    for (const returns of ["list", "object"]) {
      const { done, logs, idle } = await runner.run("api/uses", { url: `${shop.url}/orders`, returns }, { session });
      assert.deepEqual(done.result, [true, true, "restored"], JSON.stringify(done.error));
      assert.equal(logs.filter(({ message }) => message === "cleaned up").length, 1);
      assert.equal(idle.reusable, true, idle.reason);
    }
    const { error } = (await runner.run("api/uses", { returns: "nonsense" })).done;
    assert.equal(error.code, "user-error");
    assert.match(error.message, /setupContext must return/);
  });
});

describe("a project's own Playwright", () => {
  test("is the one that drives the browser and that the code imports", async (t) => {
    const root = projectOf(t, {
      "package.json": "{}",
      "api/which.ts": 'import { errors } from "playwright";\nimport * as core from "playwright-core";\nexport default async () => [(core as any).isOwn, errors === core.errors]',
      "node_modules/playwright/package.json": '{ "name": "playwright", "version": "1.64.1", "main": "index.js" }',
      "node_modules/playwright/index.js": 'module.exports = Object.assign(Object.create(require("playwright-core")), { isOwn: true, errors: require("playwright-core").errors });',
    });
    symlinkSync(fileURLToPath(new URL("../node_modules/playwright-core", import.meta.url)), path.join(root, "node_modules/playwright-core"));
    assert.deepEqual(bundle(root).problems, []);
    const runner = await RunnerUnderTest.bound(t, root, { processEnv: { KEYWRIGHT_PLAYWRIGHT_ROOT: root } });
    assert.deepEqual((await runner.run("api/which", {})).done.result, [true, true]);
  });

  test("that is not there ends the process before hello", async (t) => {
    await assert.rejects(RunnerUnderTest.bound(t, "/", { processEnv: { KEYWRIGHT_PLAYWRIGHT_ROOT: "/nowhere" } }), /there is no playwright or playwright-core in \/nowhere/);
  });
});
