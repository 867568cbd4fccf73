// Signing in: one verdict, reached by several kinds of form. A success opens a session and sends the visitor to
// /welcome, which fills the browser's stores. Every attempt is counted before its verdict.

import { cookies, readBody, redirect, sendHtml, sendJson } from "./http.mjs";
import { LOGIN_VARIANTS, loginPage, otpPage } from "./pages.mjs";
import { token } from "./state.mjs";
import { verifyTotp } from "./totp.mjs";

export const SESSION_COOKIE = "shop_session";
const OTP_COOKIE = "shop_otp";
const WRONG = "Wrong username or password";

export const loginRoutes = {
  "GET /login": (state, request, response) => sendHtml(response, 200, loginPage()),
  "POST /login": async (state, request, response) => {
    const form = new URLSearchParams((await readBody(request)).toString("utf8"));
    answerPage(state, request, response, credentials(form), "form");
  },
  "POST /login/otp": verifyOtp,
  "GET /login/otp": (state, request, response) => sendHtml(response, 200, otpPage()),
  "GET /login/get/send": (state, request, response, url) => {
    answerPage(state, request, response, credentials(url.searchParams), "get");
  },
  "POST /login/multipart": async (state, request, response) => {
    answerPage(state, request, response, multipart(await readBody(request)), "multipart");
  },
  "POST /login/latin1": async (state, request, response) => {
    answerPage(state, request, response, latin1Form(await readBody(request)), "latin1");
  },
  "POST /login/json": async (state, request, response) => {
    const verdict = decide(state, request, JSON.parse((await readBody(request)).toString("utf8")));
    if (verdict.faulted) sendJson(response, 500, { error: "Something broke" });
    else if (verdict.next) sendJson(response, 200, { next: verdict.next }, verdict.headers);
    else sendJson(response, 401, { error: WRONG });
  },
  "GET /login/basic": (state, request, response) => {
    const [scheme, encoded] = (request.headers.authorization ?? "").split(" ");
    if (scheme !== "Basic") {
      return sendHtml(response, 401, loginPage({ error: "Sign in first" }), { "www-authenticate": 'Basic realm="shop"' });
    }
    const [username, ...rest] = Buffer.from(encoded, "base64").toString("utf8").split(":");
    return answerPage(state, request, response, { username, password: rest.join(":") }, "form");
  },
};
for (const variant of LOGIN_VARIANTS) {
  loginRoutes[`GET /login/${variant}`] = (state, request, response) => sendHtml(response, 200, loginPage({ variant }));
}

function answerPage(state, request, response, given, variant) {
  const verdict = decide(state, request, given);
  if (verdict.faulted) sendHtml(response, 500, loginPage({ variant, error: "Something broke, try again" }));
  else if (verdict.next) redirect(response, verdict.next, verdict.headers);
  else sendHtml(response, 401, loginPage({ variant, error: WRONG }));
}

function decide(state, request, { username = "", password = "" }) {
  const counts = state.countsOf(username);
  counts.loginsAttempted += 1;
  counts[request.headers.via ? "proxied" : "direct"] += 1;
  if (state.takeLoginFault(username)) {
    counts.loginsFaulted += 1;
    return { faulted: true };
  }
  const user = state.users.get(username);
  if (!user || user.password !== password) return {};
  if (user.totpSecret) {
    const pending = token();
    state.pendingOtp.set(pending, username);
    return { next: "/login/otp", headers: { "set-cookie": cookie(OTP_COOKIE, pending) } };
  }
  return { next: "/welcome", headers: { "set-cookie": openSession(state, username) } };
}

async function verifyOtp(state, request, response) {
  const form = new URLSearchParams((await readBody(request)).toString("utf8"));
  const pending = cookies(request)[OTP_COOKIE];
  const username = state.pendingOtp.get(pending);
  if (!username) return redirect(response, "/login");
  if (!verifyTotp(state.users.get(username).totpSecret, form.get("otp") ?? "")) {
    return sendHtml(response, 401, otpPage({ error: "Wrong code" }));
  }
  state.pendingOtp.delete(pending);
  const ended = `${OTP_COOKIE}=; Path=/; Max-Age=0`;
  return redirect(response, "/welcome", { "set-cookie": [openSession(state, username), ended] });
}

function openSession(state, username) {
  state.countsOf(username).loginsSucceeded += 1;
  return cookie(SESSION_COOKIE, state.openSession(username).id);
}

function cookie(name, value) {
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Lax`;
}

function credentials(form) {
  return { username: form.get("username") ?? "", password: form.get("password") ?? "" };
}

/** A body from a form with accept-charset iso-8859-1: each escape is one latin-1 character. */
function latin1Form(body) {
  const pairs = body.toString("latin1").split("&").map((pair) => {
    return pair.split("=").map((part) => {
      return part.replace(/\+/g, " ").replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    });
  });
  return credentials(new Map(pairs));
}

/** Enough of multipart/form-data for two text fields; the boundary is the body's own first line. */
function multipart(body) {
  const text = body.toString("utf8");
  const boundary = text.slice(0, text.indexOf("\r\n"));
  const fields = new Map();
  for (const part of text.split(boundary)) {
    const name = /name="([^"]*)"/.exec(part)?.[1];
    const start = part.indexOf("\r\n\r\n");
    if (name && start >= 0) fields.set(name, part.slice(start + 4).replace(/\r\n$/, ""));
  }
  return credentials(fields);
}
