import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Visitor, control, startSite, state, through } from "./helpers.mjs";

test("the next logins fail, then they work", async (t) => {
  const site = await startSite(t);
  await control(site, "login-faults", { next: 2, username: "ada" });
  const statuses = [];
  for (const _ of [1, 2, 3]) statuses.push((await new Visitor(site).login("ada", "lovelace-1815")).status);
  assert.deepEqual(statuses, [500, 500, 303]);
  assert.equal((await new Visitor(site).login("grace", "hopper-1906")).status, 303);
  const { ada } = (await state(site)).users;
  assert.deepEqual([ada.loginsAttempted, ada.loginsFaulted, ada.loginsSucceeded], [3, 2, 1]);
});

test("every n-th login fails", async (t) => {
  const site = await startSite(t);
  await control(site, "login-faults", { every: 2 });
  const statuses = [];
  for (const _ of [1, 2, 3, 4]) statuses.push((await new Visitor(site).login("ada", "lovelace-1815")).status);
  assert.deepEqual(statuses, [303, 500, 303, 500]);
});

test("a held path waits until it is released, and is counted meanwhile", async (t) => {
  const site = await startSite(t);
  await control(site, "hold", { path: "/account" });
  let answered = false;
  const waiting = fetch(`${site.url}/account`).then((answer) => {
    answered = true;
    return answer.status;
  });
  while ((await state(site)).holding["/account"] !== 1) await new Promise((go) => setTimeout(go, 5));
  assert.equal((await state(site)).hits["/account"], 1);
  assert.equal(answered, false);
  await control(site, "release", { path: "/account" });
  assert.equal(await waiting, 200);
});

test("a delayed path is late, and reset makes everything as at first", async (t) => {
  const site = await startSite(t);
  await control(site, "delay", { path: "/account", ms: 80 });
  const started = performance.now();
  await fetch(`${site.url}/account`);
  assert.ok(performance.now() - started >= 75);
  await control(site, "users", { username: "eve", password: "x" });
  await control(site, "reset");
  const { users, hits } = await state(site);
  assert.deepEqual(Object.keys(users).sort(), ["ada", "alan", "grace", "zoe"]);
  assert.deepEqual(hits, {});
});

test("a user can be added and given another password", async (t) => {
  const site = await startSite(t);
  await control(site, "users", { username: "eve", password: "first", name: "Eve <b>" });
  assert.equal((await new Visitor(site).login("eve", "first")).status, 303);
  await control(site, "users", { username: "eve", password: "second" });
  assert.equal((await new Visitor(site).login("eve", "first")).status, 401);
  const visitor = new Visitor(site);
  await visitor.login("eve", "second");
  assert.equal((await (await visitor.me(await visitor.grants())).json()).name, "Eve <b>");
});

test("the secrets of a user's sessions can be asked for", async (t) => {
  const site = await startSite(t);
  const visitor = new Visitor(site);
  await visitor.login("ada", "lovelace-1815");
  const { localToken, sessionToken, deviceToken } = await visitor.grants();
  const cookie = visitor.jar.get("shop_session");
  const { body } = await control(site, "secrets", { username: "ada" });
  assert.deepEqual(body, { sessions: [{ cookie, localToken, sessionToken, deviceToken }] });
});

test("the controls refuse a page's script and what comes through the proxy", async (t) => {
  const site = await startSite(t, "--proxy-port", "0");
  const headers = { "sec-fetch-site": "same-origin" };
  assert.equal((await fetch(`${site.url}/__control/state`, { headers })).status, 403);
  assert.equal((await through(site.proxyUrl, `${site.url}/__control/state`)).status, 403);
  assert.equal((await control(site, "nonsense")).status, 404);
  assert.equal((await control(site, "users")).status, 400);
});

test("the proxy forwards, asks for its credentials and counts", async (t) => {
  const site = await startSite(t, "--proxy-port", "0", "--proxy-auth", "courier:p@ss");
  assert.equal((await through(site.proxyUrl, `${site.url}/`)).status, 407);
  const page = await through(site.proxyUrl, `${site.url}/`, { auth: "courier:p@ss" });
  assert.equal(page.status, 200);
  assert.match(page.text, /<h1>Shop<\/h1>/);
  const dead = await through(site.proxyUrl, "http://127.0.0.1:1/", { auth: "courier:p@ss" });
  assert.equal(dead.status, 502);
  const { proxy } = await state(site);
  assert.deepEqual(proxy, { connections: 3, requests: 2, tunnels: 0, refused: 1 });
});

test("TERM ends the site at once, a held request notwithstanding", async (t) => {
  const site = await startSite(t);
  await control(site, "hold", { path: "/" });
  const waiting = fetch(`${site.url}/`).catch((error) => error);
  while ((await state(site)).holding["/"] !== 1) await new Promise((go) => setTimeout(go, 5));
  site.child.kill("SIGTERM");
  const [code] = await once(site.child, "exit");
  assert.equal(code, 0);
  assert.ok((await waiting) instanceof Error);
});
