// Starts the real program and speaks to it as a browser would, minus the scripts.

import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SERVER = fileURLToPath(new URL("../server.mjs", import.meta.url));

/** The running site; ended with TERM when the test ends. */
export async function startSite(test, ...args) {
  const child = spawn(process.execPath, [SERVER, "--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  test.after(async () => {
    if (child.exitCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  });
  const [line] = await once(createInterface(child.stdout), "line");
  return { child, ...JSON.parse(line) };
}

export async function control(site, name, body = {}) {
  const answer = await fetch(`${site.url}/__control/${name}`, { method: "POST", body: JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
}

export async function state(site) {
  return (await fetch(`${site.url}/__control/state`)).json();
}

/** A visitor with a cookie jar; redirects are not followed, so that each answer can be looked at. */
export class Visitor {
  constructor(site) {
    this.site = site;
    this.jar = new Map();
  }

  async request(path, init = {}) {
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(this.site.url + path, {
      redirect: "manual", ...init, headers: { ...(cookie ? { cookie } : {}), ...init.headers },
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value) this.jar.set(name, value);
      else this.jar.delete(name);
    }
    return answer;
  }

  login(username, password) {
    return this.request("/login", { method: "POST", body: new URLSearchParams({ username, password }) });
  }

  async grants() {
    return (await this.request("/api/grants", { method: "POST" })).json();
  }

  me({ localToken, sessionToken, deviceToken }) {
    const headers = { "x-local-token": localToken, "x-session-token": sessionToken, "x-device-token": deviceToken };
    return this.request("/api/me", { headers });
  }
}

/** A request through a proxy, which `fetch` cannot do by itself. */
export function through(proxyUrl, url, { auth, method = "GET" } = {}) {
  const proxy = new URL(proxyUrl);
  const headers = { host: new URL(url).host };
  if (auth) headers["proxy-authorization"] = `Basic ${Buffer.from(auth).toString("base64")}`;
  return new Promise((resolve, reject) => {
    const options = { host: proxy.hostname, port: proxy.port, path: url, method, headers, agent: false };
    const request = http.request(options, async (answer) => {
      const chunks = [];
      for await (const chunk of answer) chunks.push(chunk);
      resolve({ status: answer.statusCode, text: Buffer.concat(chunks).toString("utf8") });
    });
    request.on("error", reject);
    request.end();
  });
}
