import assert from "node:assert/strict";
import { test } from "node:test";
import { totp, verifyTotp } from "../lib/totp.mjs";
import { Visitor, control, startSite, state } from "./helpers.mjs";

test("the account needs the cookie and all three tokens", async (t) => {
  const site = await startSite(t);
  const visitor = new Visitor(site);
  const login = await visitor.login("ada", "lovelace-1815");
  assert.equal(login.status, 303);
  assert.equal(login.headers.get("location"), "/welcome");
  assert.match(login.headers.get("set-cookie"), /HttpOnly/);

  const grants = await visitor.grants();
  const me = await visitor.me(grants);
  assert.equal(me.status, 200);
  assert.deepEqual(await me.json(), { name: "Ada Lovelace", username: "ada" });

  for (const [token, store] of [["localToken", "localStorage"], ["sessionToken", "sessionStorage"], ["deviceToken", "indexedDB"]]) {
    const answer = await visitor.me({ ...grants, [token]: "" });
    assert.equal(answer.status, 401);
    assert.deepEqual(await answer.json(), { missing: [store] });
  }
  visitor.jar.clear();
  const answer = await visitor.me(grants);
  assert.deepEqual(await answer.json(), { missing: ["cookie", "localStorage", "sessionStorage", "indexedDB"] });

  const { users } = await state(site);
  assert.equal(users.ada.loginsAttempted, 1);
  assert.equal(users.ada.loginsSucceeded, 1);
  assert.equal(users.ada.checksPassed, 1);
  assert.equal(users.ada.checksFailed, 3);
});

test("a wrong password is refused with its message and counted", async (t) => {
  const site = await startSite(t);
  const visitor = new Visitor(site);
  const answer = await visitor.login("ada", "babbage");
  assert.equal(answer.status, 401);
  assert.match(await answer.text(), /Wrong username or password/);
  assert.equal(visitor.jar.size, 0);
  const { ada } = (await state(site)).users;
  assert.deepEqual([ada.loginsAttempted, ada.loginsSucceeded], [1, 0]);
});

test("special and non-ASCII characters of a password arrive whole, by every kind of form", async (t) => {
  const site = await startSite(t);
  const password = "Pä$$ wörd+&=%\"'<>\\/#?;日本-😀";
  const form = new FormData();
  form.append("username", "zoe");
  form.append("password", password);
  const json = { method: "POST", body: JSON.stringify({ username: "zoe", password }) };
  const tries = {
    "/login": { method: "POST", body: new URLSearchParams({ username: "zoe", password }) },
    "/login/multipart": { method: "POST", body: form },
    "/login/basic": { headers: { authorization: `Basic ${Buffer.from(`zoe:${password}`).toString("base64")}` } },
    [`/login/get/send?${new URLSearchParams({ username: "zoe", password })}`]: {},
  };
  for (const [path, init] of Object.entries(tries)) {
    assert.equal((await new Visitor(site).request(path, init)).status, 303, path);
  }
  const answer = await new Visitor(site).request("/login/json", json);
  assert.deepEqual(await answer.json(), { next: "/welcome" });

  await control(site, "users", { username: "lat", password: "mañana ÿ+1" });
  const latin1 = { method: "POST", body: "username=lat&password=ma%F1ana+%FF%2B1" };
  assert.equal((await new Visitor(site).request("/login/latin1", latin1)).status, 303);
  assert.equal((await state(site)).users.zoe.loginsSucceeded, 5);
});

test("the second factor is asked for and checked", async (t) => {
  const site = await startSite(t);
  const visitor = new Visitor(site);
  assert.equal((await visitor.login("alan", "turing-1912")).headers.get("location"), "/login/otp");
  const send = (otp) => visitor.request("/login/otp", { method: "POST", body: new URLSearchParams({ otp }) });
  assert.equal((await send("000")).status, 401);
  assert.equal((await state(site)).users.alan.loginsSucceeded, 0);
  assert.equal((await send(totp("KEYWRIGHTDEMO234"))).headers.get("location"), "/welcome");
  assert.equal((await visitor.me(await visitor.grants())).status, 200);
});

test("codes are those of RFC 6238, appendix B", () => {
  const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
  const cases = { 59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037" };
  for (const [seconds, code] of Object.entries(cases)) {
    assert.equal(totp(secret, { timeMs: seconds * 1000, digits: 8 }), code);
  }
  assert.ok(verifyTotp(secret, totp(secret, { timeMs: 0 }), 30_000));
  assert.ok(!verifyTotp(secret, totp(secret, { timeMs: 0 }), 90_000));
});

test("a session that expired is signed out, and a new login works again", async (t) => {
  const site = await startSite(t);
  const [ada, grace] = [new Visitor(site), new Visitor(site)];
  await ada.login("ada", "lovelace-1815");
  await grace.login("grace", "hopper-1906");
  const [adas, graces] = [await ada.grants(), await grace.grants()];

  assert.deepEqual((await control(site, "expire", { username: "ada" })).body, { expired: 1 });
  assert.equal((await ada.me(adas)).status, 401);
  assert.equal((await ada.request("/orders")).headers.get("location"), "/login");
  assert.equal((await grace.me(graces)).status, 200);
  assert.equal((await state(site)).users.ada.checksFailed, 1);

  await control(site, "expire");
  assert.equal((await grace.me(graces)).status, 401);
  assert.equal((await ada.login("ada", "lovelace-1815")).status, 303);
});
