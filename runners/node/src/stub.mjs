// A page on stub documents: it has the origin of a site, and neither a request nor a script of the site.
//
// Every request of the page is answered here with an empty HTML document, service workers are bypassed, so the origin's
// storage can be read and written through the shared page script without the site noticing. Refused: an origin that the
// browser turns into another one on the way (a host it insists on HTTPS for).

import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const BLANK = "about:blank";
const NOT_YET_ACTIVE = "Not attached to an active page";
const HISTORY_LOOKS = 500;
const HISTORY_LOOK_MS = 2;
const SHARED = process.env.KEYWRIGHT_SHARED ?? fileURLToPath(new URL("../../shared/", import.meta.url));
const STATE_SCRIPT = readFileSync(path.join(SHARED, "state.js"), "utf8");
const POPUP_SCRIPT = readFileSync(path.join(SHARED, "popup.js"), "utf8");
const EMPTY_PAGE = Buffer.from("<!doctype html><title></title>").toString("base64");
const HEADERS = [{ name: "content-type", value: "text/html; charset=utf-8" }];

/** The init script that gives sessionStorage to tabs nobody else can reach in time. */
export function popupScript(itemsByOrigin) {
  return `(${POPUP_SCRIPT}\n)(${JSON.stringify(itemsByOrigin)})`;
}

/** Run a function of the shared page script: `capture` or `restore`. Gives what it gives, as an object. */
export async function callScript(session, contextId, name, ...given) {
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression: `(${STATE_SCRIPT}\n).${name}(${given.map((one) => JSON.stringify(one)).join(", ")})`,
    awaitPromise: true,
    returnByValue: true,
    ...(contextId === undefined ? {} : { contextId }),
  });
  if (exceptionDetails !== undefined) {
    throw new Error(exceptionDetails.exception?.description?.split("\n")[0] ?? exceptionDetails.text);
  }
  return JSON.parse(result.value);
}

export class StubPage {
  #page;
  #session;

  constructor(page, session) {
    this.#page = page;
    this.#session = session;
  }

  /** Put a page under our control until `leave` or its end. */
  static async on(page) {
    const session = await page.context().newCDPSession(page);
    session.on("Fetch.requestPaused", ({ requestId }) => {
      session
        .send("Fetch.fulfillRequest", { requestId, responseCode: 200, responseHeaders: HEADERS, body: EMPTY_PAGE })
        .catch(() => {}); // the request was canceled or the page is closed
    });
    await Promise.all([
      session.send("Network.enable"),
      session.send("Network.setBypassServiceWorker", { bypass: true }),
      session.send("Fetch.enable", { patterns: [{ urlPattern: "*" }] }),
    ]);
    return new StubPage(page, session);
  }

  get session() {
    return this.#session;
  }

  /** Write into the stores of an origin; the warnings. */
  async restore(state, stores) {
    await this.#visit(state.origin);
    return (await callScript(this.#session, undefined, "restore", state, stores)).warnings;
  }

  /** Read the stores of an origin: `{origin, warnings}`. */
  async capture(origin, stores) {
    await this.#visit(origin);
    return callScript(this.#session, undefined, "capture", stores);
  }

  /** Back to an untouched blank page. */
  async leave() {
    await this.#page.goto(BLANK, { waitUntil: "commit" });
    await this.#forgetHistory();
    await Promise.all([
      this.#session.send("Fetch.disable"),
      this.#session.send("Network.disable"),
    ]);
    await this.#session.detach();
  }

  /** The renderer reports a new document a moment before the browser has made it the active one. */
  async #forgetHistory() {
    for (let look = 0; look < HISTORY_LOOKS; look += 1) {
      try {
        const { entries, currentIndex } = await this.#session.send("Page.getNavigationHistory");
        if (entries[currentIndex].url === BLANK) return await this.#session.send("Page.resetNavigationHistory");
      } catch (error) {
        if (!error.message.includes(NOT_YET_ACTIVE)) throw error;
      }
      await pause(HISTORY_LOOK_MS);
    }
    throw new Error("the page does not become blank");
  }

  async #visit(origin) {
    await this.#page.goto(`${origin}/`, { waitUntil: "commit" });
    const arrived = originOf(this.#page.url());
    if (arrived !== origin) throw new Error(`${origin} cannot be entered: the browser goes to ${arrived ?? "no site"} instead`);
  }
}

/** The origin of a url that can have storage of its own; undefined for every other url. */
export function originOf(url) {
  if (!/^https?:/.test(url)) return undefined;
  try {
    return new URL(url).origin;
  } catch {
    return undefined;
  }
}
