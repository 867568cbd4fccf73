// The state of a login goes out whole and comes back whole, and the site notices nothing of either.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { RunnerUnderTest, Suite, bundled, site } from "./worker.mjs";

describe("the shop's login", () => {
  const suite = new Suite();
  after(() => suite.end());
  let shop;
  let root;
  let params;
  before(async () => {
    shop = await site(suite);
    root = bundled(suite, "shop-ts");
    params = { username: "ada", password: "lovelace-1815", baseUrl: shop.url };
  });

  const logIn = async (runner) => {
    const { done } = await runner.run("auth-sessions/create", params, { captureSession: true, authParameters: params });
    assert.equal(done.ok, true, JSON.stringify(done.error));
    return done.session;
  };
  const check = async (runner, session) =>
    (await runner.run("auth-sessions/check", undefined, { session, authParameters: params })).done;

  test("holds in the same slot, in another process, and for the work; all four stores are needed", async (t) => {
    const first = await RunnerUnderTest.bound(t, root, { isAuthEnabled: true });
    const session = await logIn(first);
    assert.equal(session.version, 1);
    assert.equal((await check(first, session)).result, true);
    assert.equal((await check(first, JSON.parse(JSON.stringify(session)))).result, true);

    const second = await RunnerUnderTest.bound(t, root, { isAuthEnabled: true });
    assert.equal((await check(second, session)).result, true);
    const { done, payloads } = await second.run("api/orders", { limit: 7, details: true }, { session, authParameters: params });
    assert.equal(done.result.count, 7, JSON.stringify(done.error));
    assert.equal(payloads.flatMap(({ items }) => items).length, 7);

    const details = await second.run("api/orders/details", { id: "1007" }, { session, authParameters: params });
    assert.equal(details.done.result?.id, "1007", JSON.stringify(details.done.error));
    const stored = details.calls.find(({ method }) => method === "file.store").params;
    assert.equal(stored.fileName, "invoice-1007.pdf");
    assert.ok(stored.path.startsWith(`${second.slot}/`));
    assert.match(details.done.result.invoice.signedUrl, /^http:\/\/files\.invalid\/[1-9]\d*$/);

    for (const lacking of ["cookies", "localStorage", "sessionStorage", "indexedDB"]) {
      const origins = session.origins.map((origin) => ({ ...origin, [lacking]: [] }));
      const less = lacking === "cookies" ? { ...session, cookies: [] } : { ...session, origins };
      assert.equal((await check(second, less)).result, false, lacking);
    }
    assert.equal((await check(second, session)).result, true, "what came between left nothing behind");
    const { ada } = (await shop.state()).users;
    assert.deepEqual([ada.loginsSucceeded, ada.checksPassed >= 4], [1, true]);
  });

  test("is not there in an attempt without it, although the slot had prepared for it", async (t) => {
    const runner = await RunnerUnderTest.bound(t, root, { isAuthEnabled: true });
    const session = await logIn(runner);
    assert.equal((await check(runner, session)).result, true);
    assert.equal((await check(runner, null)).result, false);
    assert.equal((await check(runner, session)).result, true);
  });
});

const PAGE = "<!doctype html><title>page</title>";
const FILES = {
  "package.json": "{}",
  "auth-sessions/create.ts": [
    "export default async ({ a, b, fill }: any, page: any, context: any) => {",
    "  await page.goto(`${a}/first`);",
    "  await page.evaluate(fill, 'a');",
    "  const popup = await context.newPage();",
    "  await popup.goto(`${a}/popup`);",
    "  await popup.goto(`${b}/popup`);",
    "  await popup.evaluate(fill, 'b');",
    "  await popup.close();",
    "  await page.evaluate(() => addEventListener('pagehide', () => localStorage.clear()));",
    "  await page.goto('about:blank');",
    "  await page.goto(`${a}/again`);",
    "  await page.evaluate(fill, 'a');",
    "};",
  ].join("\n"),
  "api/read.ts": [
    "const read = async (page: any, url: string) => { await page.goto(url); return page.evaluate(() => (globalThis as any).atFirst); };",
    "export default async ({ a, b }: any, page: any, context: any) => {",
    "  const untouched = [page.url(), await page.evaluate(() => [history.length, document.referrer]), context.pages().length];",
    "  const first = await read(page, `${a}/read`);",
    "  const opened = await read(await context.newPage(), `${a}/read`);",
    "  const [popup] = await Promise.all([context.waitForEvent('page'), page.evaluate((url: string) => void window.open(url, '_blank', 'noopener'), `${a}/read`)]);",
    "  await popup.waitForLoadState();",
    "  const noopener = await popup.evaluate(() => (globalThis as any).atFirst);",
    "  const other = await read(page, `${b}/read`);",
    "  await page.goto(`${a}/read`);",
    "  await page.evaluate(() => { localStorage.removeItem('name'); sessionStorage.removeItem('name'); });",
    "  const removed = await read(page, `${a}/read`);",
    "  return { untouched, first, opened, noopener, other, removed };",
    "};",
  ].join("\n"),
  "api/keep.ts": "export default async () => 1",
  "api/contexts.ts": "export default async (_: any, page: any) => page.context().browser().contexts().length",
  "api/elsewhere.ts": "export default async ({ b }: any, page: any) => { await page.goto(`${b}/`); await page.evaluate(() => localStorage.setItem('name', 'changed')); }",
  "api/unclonable.ts": [
    "export default async ({ a, size }: any, page: any) => {",
    "  await page.goto(`${a}/`);",
    "  await page.evaluate(async (size: number) => {",
    "    const value = size ? 'x'.repeat(size) : await crypto.subtle.generateKey({ name: 'AES-GCM', length: 128 }, false, ['encrypt']);",
    "    const opening = indexedDB.open('kept', 1);",
    "    opening.onupgradeneeded = () => opening.result.createObjectStore('s');",
    "    await new Promise((go) => (opening.onsuccess = go));",
    "    const putting = opening.result.transaction('s', 'readwrite').objectStore('s').put(value, 'k');",
    "    await new Promise((go) => (putting.transaction.oncomplete = go));",
    "    opening.result.close();",
    "  }, size);",
    "};",
  ].join("\n"),
};

/** Runs in the page: something in every store. */
const FILL = `(name) => {
  localStorage.setItem("name", name);
  localStorage.setItem("odd", "lone \\ud800");
  sessionStorage.setItem("name", "tab " + name);
  document.cookie = "name=" + name + "; max-age=3600; samesite=strict";
}`;
/** As `escape` shows it: a result cannot carry it. */
const LONE = "lone%20%uD800";
/** The first script of /read. */
const READ = `<script>globalThis.atFirst = {
  local: localStorage.getItem("name"), odd: escape(localStorage.getItem("odd")), tab: sessionStorage.getItem("name"), cookie: document.cookie,
};</script>`;

describe("the state of two origins", () => {
  const suite = new Suite();
  after(() => suite.end());
  const hits = [];
  let runner;
  let places;
  let session;
  before(async () => {
    const server = createServer((request, response) => {
      hits.push(`${request.headers.host.split(":")[0]}${request.url}`);
      response.setHeader("content-type", "text/html").end(request.url === "/read" ? PAGE + READ : PAGE);
    });
    server.listen(0, "127.0.0.1");
    await new Promise((go) => server.once("listening", go));
    suite.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address();
    places = { a: `http://127.0.0.1:${port}`, b: `http://localhost:${port}` };
    const files = { ...FILES, "auth-sessions/create.ts": FILES["auth-sessions/create.ts"].replaceAll("fill,", `${FILL},`) };
    runner = await RunnerUnderTest.bound(suite, bundled(suite, files));
    const { done } = await runner.run("auth-sessions/create", places, { captureSession: true });
    assert.equal(done.ok, true, JSON.stringify(done.error));
    session = done.session;
  });
  const without = (url) => hits.filter((hit) => !hit.endsWith("favicon.ico") && hit === url);

  test("is captured from open and closed tabs without a request to the site", () => {
    const [a, b] = [places.a, places.b].map((one) => session.origins.find(({ origin }) => origin === one));
    assert.deepEqual(a.localStorage.find(({ name }) => name === "name"), { name: "name", value: "a" });
    assert.equal(a.localStorage.filter(({ utf16 }) => utf16).length, 1);
    assert.deepEqual(a.sessionStorage, [{ name: "name", value: "tab a" }]);
    assert.deepEqual(b.localStorage.find(({ name }) => name === "name"), { name: "name", value: "b" });
    assert.deepEqual(b.sessionStorage, [], "it went with its tab");
    assert.deepEqual(session.cookies.map(({ name, value, domain, sameSite }) => [name, value, domain, sameSite]).sort(), [
      ["name", "a", "127.0.0.1", "Strict"], ["name", "b", "localhost", "Strict"],
    ]);
    assert.ok(session.cookies.every(({ expires }) => expires > Date.now() / 1000));
    assert.deepEqual(["127.0.0.1/", "localhost/"].flatMap(without), []);
  });

  test("is there before the first script of every page, and stays deleted once the site deletes it", async () => {
    const { done } = await runner.run("api/read", places, { session });
    const all = { local: "a", odd: LONE, tab: "tab a", cookie: "name=a" };
    assert.deepEqual(done.result, {
      untouched: ["about:blank", [1, ""], 1],
      first: all,
      opened: all,
      noopener: all,
      other: { local: "b", odd: LONE, tab: null, cookie: "name=b" },
      removed: { ...all, local: null, tab: null },
    }, JSON.stringify(done.error));
  });

  test("an origin that was not visited is kept as it was, one that was is read anew", async () => {
    const kept = (await runner.run("api/keep", {}, { session, captureSession: true })).done.session;
    const sorted = ({ origins }) => origins.toSorted((one, other) => one.origin.localeCompare(other.origin));
    assert.deepEqual(sorted(kept), sorted(session));
    const changed = (await runner.run("api/elsewhere", places, { session, captureSession: true })).done.session;
    const of = (origin) => changed.origins.find((one) => one.origin === origin);
    assert.deepEqual(of(places.a), session.origins.find(({ origin }) => origin === places.a));
    assert.deepEqual(of(places.b).localStorage.find(({ name }) => name === "name"), { name: "name", value: "changed" });
  });

  test("pages that were prepared in vain do not pile up", async () => {
    const counts = [];
    for (const given of [session, null, session, null, null, session, session]) {
      counts.push((await runner.run("api/contexts", {}, { session: given })).done.result);
    }
    // Its own, one with a state and a blank one; the one that did not fit is closed while the code runs.
    assert.ok(counts.every((count) => count >= 1 && count <= 3), String(counts));
  });

  test("what cannot be kept is left out with one warning", async () => {
    const { done, logs } = await runner.run("api/unclonable", places, { captureSession: true });
    const { indexedDB } = done.session.origins.find(({ origin }) => origin === places.a);
    assert.deepEqual(indexedDB[0].stores[0].records, []);
    assert.deepEqual(logs.map(({ level }) => level), ["warn"]);
    assert.match(logs[0].message, /CryptoKey/);
  });

  test("a cookie that the browser refuses is left out with one warning, the others are there", async () => {
    const common = { domain: "127.0.0.1", path: "/", httpOnly: false };
    const cookies = [
      { ...common, name: "kept", value: "1", expires: -1, secure: false },
      { ...common, name: "__Host-x", value: "1", domain: ".a.example", secure: true },
      { ...common, name: "late", value: "2", expires: 4102444800, secure: false, sameSite: "Lax" },
    ];
    for (const origins of [[], session.origins]) {
      const { done, logs } = await runner.run("api/keep", {}, { session: { version: 1, cookies, origins }, captureSession: true });
      assert.equal(done.ok, true, JSON.stringify(done.error));
      assert.deepEqual(done.session.cookies.map(({ name }) => name).sort(), ["kept", "late"]);
      assert.deepEqual(logs.map(({ stream, level, message }) => [stream, level, message]), [
        ["stderr", "warn", "the browser refused the cookie __Host-x of .a.example"],
      ]);
    }
  });

  test("more than can be sent is a failed capture", async () => {
    const { done, idle } = await runner.run("api/unclonable", { ...places, size: 17_000_000 }, { captureSession: true });
    assert.deepEqual([done.error.code, done.error.retryable], ["capture-failed", true]);
    assert.equal(idle.reusable, true);
  });
});
