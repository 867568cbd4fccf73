// Everything the site remembers, in memory: users, sessions, what it was asked to do wrong, and what it saw.
// Counters are the truth that tests assert against ("exactly one login"), so they are counted here and nowhere else.

import { randomBytes } from "node:crypto";

const FIRST_USERS = [
  { username: "ada", password: "lovelace-1815", name: "Ada Lovelace" },
  { username: "grace", password: "hopper-1906", name: "Grace Hopper" },
  { username: "zoe", password: "Pä$$ wörd+&=%\"'<>\\/#?;日本-😀", name: "Zoë Ünlü" },
  { username: "alan", password: "turing-1912", name: "Alan Turing", totpSecret: "KEYWRIGHTDEMO234" },
];

export class SiteState {
  constructor() {
    this.held = new Map();
    this.reset();
  }

  /** Back to the first users, no sessions, no faults, all counters at zero. */
  reset() {
    this.releaseHold();
    this.users = new Map(FIRST_USERS.map((user) => [user.username, { ...user }]));
    this.sessions = new Map();
    this.pendingOtp = new Map();
    this.delays = new Map();
    this.loginFaults = [];
    this.hits = new Map();
    this.counts = new Map();
  }

  putUser(user) {
    this.users.set(user.username, { ...this.users.get(user.username), ...user });
  }

  // --- counters -------------------------------------------------------------------------------------------------

  /** `viaProxy` is what the bundled proxy says of itself, so a direct contact can be told from a proxied one. */
  countHit(path, username, viaProxy) {
    bump(this.hits, path);
    if (!username) return;
    const counts = this.countsOf(username);
    bump(counts.hits, path);
    counts[viaProxy ? "proxied" : "direct"] += 1;
  }

  countsOf(username) {
    if (!this.counts.has(username)) {
      this.counts.set(username, {
        loginsAttempted: 0, loginsSucceeded: 0, loginsFaulted: 0,
        checksPassed: 0, checksFailed: 0, invoices: 0, direct: 0, proxied: 0, hits: new Map(),
      });
    }
    return this.counts.get(username);
  }

  report() {
    const users = {};
    for (const username of new Set([...this.users.keys(), ...this.counts.keys()])) {
      const counts = this.countsOf(username);
      const sessions = [...this.sessions.values()].filter((s) => s.alive && s.username === username).length;
      users[username] = { ...counts, hits: Object.fromEntries(counts.hits), sessions };
    }
    const holding = Object.fromEntries([...this.held].map(([path, waiters]) => [path, waiters.length]));
    return { users, hits: Object.fromEntries(this.hits), holding };
  }

  // --- sessions -------------------------------------------------------------------------------------------------

  /** Ended sessions stay in the map, so that a request with a dead cookie is still counted for its user. */
  openSession(username) {
    const session = {
      id: token(), username, alive: true,
      localToken: token(), sessionToken: token(), deviceToken: token(),
    };
    this.sessions.set(session.id, session);
    return session;
  }

  session(id) {
    return this.sessions.get(id);
  }

  liveSession(id) {
    const session = this.sessions.get(id);
    return session?.alive ? session : undefined;
  }

  endSession(id) {
    const session = this.sessions.get(id);
    if (session) session.alive = false;
  }

  expire(username) {
    let ended = 0;
    for (const session of this.sessions.values()) {
      if (!session.alive || (username && session.username !== username)) continue;
      session.alive = false;
      ended += 1;
    }
    return ended;
  }

  /** What a test must find nowhere: the secrets of a user's sessions, dead ones included. */
  secretsOf(username) {
    return [...this.sessions.values()]
      .filter((session) => session.username === username)
      .map(({ id, localToken, sessionToken, deviceToken }) => ({ cookie: id, localToken, sessionToken, deviceToken }));
  }

  // --- faults ---------------------------------------------------------------------------------------------------

  /** `next`: the next n logins answer 500. `every`: every n-th does. Either for one user or for all. */
  addLoginFault({ next = 0, every = 0, username }) {
    this.loginFaults.push({ next, every, username, seen: 0 });
  }

  takeLoginFault(username) {
    let faulted = false;
    for (const fault of this.loginFaults) {
      if (fault.username && fault.username !== username) continue;
      fault.seen += 1;
      if (fault.next > 0) {
        fault.next -= 1;
        faulted = true;
      }
      if (fault.every > 0 && fault.seen % fault.every === 0) faulted = true;
    }
    return faulted;
  }

  setDelay(path, ms) {
    if (ms > 0) this.delays.set(path, ms);
    else this.delays.delete(path);
  }

  hold(path) {
    if (!this.held.has(path)) this.held.set(path, []);
  }

  releaseHold(path) {
    for (const [held, waiters] of [...this.held]) {
      if (path && held !== path) continue;
      this.held.delete(held);
      for (const go of waiters) go();
    }
  }

  /** Waits while the path is held, then for its delay. */
  async obstruct(path) {
    const waiters = this.held.get(path);
    if (waiters) await new Promise((go) => waiters.push(go));
    const ms = this.delays.get(path);
    if (ms) await new Promise((go) => setTimeout(go, ms));
  }
}

export function token() {
  return randomBytes(24).toString("base64url");
}

function bump(map, key) {
  map.set(key, (map.get(key) ?? 0) + 1);
}
