// The browser state of an AuthSession: restored before user code sees a page, captured after it.
//
// How and why is written at the beginning of the shared page script, state.js; this is its Node side. Nothing here asks
// the site for anything. Not captured: storage that a frame has under another site's page (the browser keeps that apart
// by both), sessionStorage of tabs that were already closed. If the process dies here, the AuthSession keeps the
// generation it had.

import { within } from "./deadline.mjs";
import { readCookies, writeCookies } from "./cookies.mjs";
import { StubPage, callScript, originOf, popupScript } from "./stub.mjs";

const ALL = ["localStorage", "sessionStorage", "indexedDB"];
const OF_CONTEXT = ["localStorage", "indexedDB"];
const RESTORE_WITHIN_MS = 30_000;
const CAPTURE_WITHIN_MS = 30_000;

export class StateKeeper {
  #context;
  #warnings = [];
  #restored = [];
  /** The origins each open tab has visited, in order of opening. */
  #tabs = new Map();
  #visitedInClosedTabs = new Set();
  #newPage;

  constructor(context) {
    this.#context = context;
    this.#newPage = context.newPage.bind(context);
  }

  /** Put the state into the context, by way of `page` when it is blank. */
  async restore(state, page) {
    if (state) await within(RESTORE_WITHIN_MS, this.#restore(state, page));
  }

  /** From now on remember where the pages go. */
  watch() {
    for (const open of this.#context.pages()) this.#watch(open);
    this.#context.on("page", (opened) => this.#watch(opened));
  }

  /** What could not be kept or restored, once. */
  takeWarnings() {
    return this.#warnings.splice(0);
  }

  /** The whole state now. The context is not to be used by anybody afterwards. */
  capture() {
    return within(CAPTURE_WITHIN_MS, this.#capture());
  }

  async #restore({ cookies = [], origins = [] }, page) {
    this.#restored = origins;
    const filled = origins.filter((origin) => ALL.some((store) => origin[store]?.length > 0));
    const isBlank = page?.url() === "about:blank";
    if (filled.length === 0) return this.#writeCookies(cookies, page);
    const vehicle = isBlank ? page : await this.#newPage();
    const stub = await StubPage.on(vehicle);
    this.#warn(await writeCookies(stub.session, cookies));
    for (const origin of filled) this.#warn(await stub.restore(origin, isBlank ? ALL : OF_CONTEXT));
    if (isBlank) await stub.leave();
    else await vehicle.close();
    await this.#fillLaterTabs(filled.filter(({ sessionStorage }) => sessionStorage?.length > 0));
  }

  async #writeCookies(cookies, page) {
    if (cookies.length === 0) return;
    const vehicle = page ?? (await this.#newPage());
    const session = await this.#context.newCDPSession(vehicle);
    this.#warn(await writeCookies(session, cookies));
    if (vehicle === page) await session.detach();
    else await vehicle.close();
  }

  /** sessionStorage belongs to a tab: those that are opened later get it too. */
  async #fillLaterTabs(origins) {
    if (origins.length === 0) return;
    const items = Object.fromEntries(origins.map(({ origin, sessionStorage }) => [origin, sessionStorage]));
    await this.#context.addInitScript(popupScript(items));
    this.#context.newPage = async (...given) => {
      const page = await this.#newPage(...given);
      const stub = await StubPage.on(page);
      for (const origin of origins) this.#warn(await stub.restore(origin, ["sessionStorage"]));
      await stub.leave();
      return page;
    };
  }

  #watch(page) {
    const visited = new Set();
    this.#tabs.set(page, visited);
    const note = (frame) => {
      const origin = originOf(frame.url());
      if (origin !== undefined) visited.add(origin);
    };
    page.frames().forEach(note);
    page.on("framenavigated", note);
    page.on("close", () => {
      this.#tabs.delete(page);
      for (const origin of visited) this.#visitedInClosedTabs.add(origin);
    });
  }

  async #capture() {
    const tabs = [...this.#tabs];
    const closed = new Set(this.#visitedInClosedTabs);
    // What user code still listens for or reroutes must not meet the pages that are opened here.
    this.#context.removeAllListeners("page");
    await this.#context.unrouteAll({ behavior: "ignoreErrors" });
    const found = new Findings(this.#restored, [...tabs.flatMap(([, visited]) => [...visited]), ...closed]);
    for (const [page] of tabs) await this.#readDocument(page, found);
    for (const [page, visited] of tabs) await this.#readVisited(page, [...visited].filter((origin) => found.wants(origin)), found);

    await this.#readClosed([...closed].filter((origin) => found.wants(origin, OF_CONTEXT)), found);
    return { version: 1, cookies: await this.#readCookies(), origins: found.origins() };
  }

  /** Origins of tabs that are gone: what belongs to the context is still there. */
  async #readClosed(origins, found) {
    if (origins.length === 0) return;
    const page = await this.#newPage();
    const stub = await StubPage.on(page);
    for (const origin of origins) this.#take(found, await stub.capture(origin, OF_CONTEXT), OF_CONTEXT);
    await page.close();
  }

  async #readCookies() {
    const page = this.#context.pages()[0] ?? (await this.#newPage());
    const session = await this.#context.newCDPSession(page);
    const cookies = await readCookies(session);
    await session.detach();
    return cookies;
  }

  /** The main document of an open page, where it is and as it is. */
  async #readDocument(page, found) {
    const origin = originOf(page.url());
    if (origin === undefined || page.isClosed()) return;
    const stores = found.missing(origin);
    if (stores.length === 0) return;
    const session = await this.#context.newCDPSession(page);
    const contextId = await isolatedWorld(session);
    // A document can be without an origin of its own (sandboxed by its headers) and then has no storage.
    const { result } = await session.send("Runtime.evaluate", { expression: "self.origin", contextId });
    if (result.value === origin) this.#take(found, await callScript(session, contextId, "capture", stores), stores);
    await session.detach();
  }

  /** Origins that a tab has left behind, through a copy of the tab: leaving the live page could sign the user out. */
  async #readVisited(page, origins, found) {
    if (origins.length === 0 || page.isClosed()) return;
    const session = await this.#context.newCDPSession(page);
    const contextId = await isolatedWorld(session);
    const opening = this.#context.waitForEvent("page", { timeout: CAPTURE_WITHIN_MS });
    await session.send("Runtime.evaluate", { expression: 'void window.open("about:blank")', contextId, userGesture: true });
    const copy = await opening;
    const stub = await StubPage.on(copy);
    for (const origin of origins) {
      const stores = found.missing(origin);
      if (stores.length > 0) this.#take(found, await stub.capture(origin, stores), stores);
    }
    await copy.close();
    await session.detach();
  }

  #take(found, { origin, warnings }, stores) {
    found.add(origin, stores);
    this.#warn(warnings);
  }

  #warn(warnings) {
    this.#warnings.push(...warnings);
  }
}

/** What has been read so far, by origin. */
class Findings {
  #restored;
  #visited;
  #byOrigin = new Map();

  constructor(restored, visited) {
    this.#restored = restored;
    this.#visited = new Set(visited);
  }

  /** Whether something of the origin has not been read yet. */
  wants(origin, stores = ALL) {
    return this.missing(origin).some((store) => stores.includes(store));
  }

  /** The stores to read. sessionStorage is asked of every tab until one has any: each has its own. */
  missing(origin) {
    const known = this.#byOrigin.get(origin);
    return ALL.filter((store) => known?.[store] === undefined || (store === "sessionStorage" && known[store].length === 0));
  }

  add(state, stores) {
    const known = this.#byOrigin.get(state.origin) ?? { origin: state.origin };
    for (const store of stores) known[store] = state[store];
    this.#byOrigin.set(state.origin, known);
  }

  /** Everything that holds something, with what was restored and never visited. */
  origins() {
    const kept = this.#restored.filter(({ origin }) => !this.#visited.has(origin));
    const read = [...this.#byOrigin.values()].map((known) => ({ localStorage: [], sessionStorage: [], indexedDB: [], ...known }));
    return [...kept, ...read.filter((known) => ALL.some((store) => known[store].length > 0))];
  }
}

/** A world of its own in the main document: the page cannot see it and cannot have replaced what it calls. */
async function isolatedWorld(session) {
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "" });
  return executionContextId;
}
