// The knobs: what a test or the demo may do to the site, and what it may ask the site about what it saw.
// Loopback only, and not for a page's script: browsers mark their requests with Sec-Fetch headers, which are refused.

import { readJson, sendJson } from "./http.mjs";

const ACTIONS = {
  reset: (state, body, proxy) => {
    state.reset();
    proxy?.reset();
  },
  users: (state, { username, password, name, totpSecret }) => {
    if (!username) throw new Error("username is required");
    const given = Object.entries({ username, password, name, totpSecret }).filter(([, value]) => value !== undefined);
    state.putUser(Object.fromEntries(given));
  },
  expire: (state, { username }) => ({ expired: state.expire(username) }),
  delay: (state, { path, ms }) => state.setDelay(path, ms),
  "login-faults": (state, { next, every, username }) => state.addLoginFault({ next, every, username }),
  secrets: (state, { username }) => ({ sessions: state.secretsOf(username) }),
  hold: (state, { path }) => state.hold(path),
  release: (state, { path }) => state.releaseHold(path),
};

export function isControl(url) {
  return url.pathname.startsWith("/__control/");
}

export async function control(state, request, response, url, proxy) {
  const name = url.pathname.slice("/__control/".length);
  const loopback = ["127.0.0.1", "::1", "::ffff:127.0.0.1"].includes(request.socket.remoteAddress);
  if (!loopback || request.headers["sec-fetch-site"] || request.headers.via) {
    return sendJson(response, 403, { error: "the controls answer to local programs only" });
  }
  if (request.method === "GET" && name === "state") {
    return sendJson(response, 200, { ...state.report(), proxy: proxy?.report() ?? null });
  }
  const action = Object.hasOwn(ACTIONS, name) && request.method === "POST" ? ACTIONS[name] : undefined;
  if (!action) return sendJson(response, 404, { error: `no such control: ${request.method} ${name}` });
  try {
    return sendJson(response, 200, action(state, await readJson(request), proxy) ?? { ok: true });
  } catch (error) {
    return sendJson(response, 400, { error: error.message });
  }
}
