// The one browser of this process and the page that is kept ready in it.
//
// Launches Chromium through Playwright and makes contexts that look like a browser somebody sits at. The next context
// with the defaults and one page in it are made ahead of time, with the state already in it that the next attempt will
// most likely ask for. Beside one with a state rests a blank one, for the attempt that makes the login anew; an attempt
// that asks for something else gets its own.
// Playwright drives the browser through a pipe. A debugging port is opened only for a project whose hook is told of it,
// because whoever finds a port has the browser; it is a loopback port that Chromium chose itself, read from the file in
// the profile folder of *our* child, so runners beside us are never mixed up.
// If the process dies here, the browser sees its pipe close and ends.

import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { Identity } from "./identity.mjs";
import { argumentsOf, descendants } from "./processes.mjs";
import { StateKeeper } from "./state.mjs";

const BASE_ARGS = [
  "--disable-blink-features=AutomationControlled",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-sync",
];
// Right after it starts to listen, which a busy machine can delay for seconds; a hook without the address cannot work.
const PORT_FILE_WITHIN_MS = 15_000;
const PORT_FILE_LOOK_MS = 10;

export class BrowserHost {
  #browser;
  #defaults;
  #identity;
  #dressed;
  #next;
  #blank;

  constructor(browser, defaults, identity, { cdpUrl, pid }) {
    this.#browser = browser;
    this.#defaults = defaults;
    this.#identity = identity;
    this.cdpUrl = cdpUrl;
    this.pid = pid;
    // Not awaited before `ready`: a page is, in take.
    this.#dressed = identity.putOn();
    this.#dressed.catch(() => {});
  }

  /** Launch as a `warm` message says. Rejects with whatever Playwright rejects with. */
  static async launch(playwright, spec) {
    const { executablePath, args = [], headless = true, sandbox = true, ignoreHttpsErrors = false, width, height } = spec;
    const hasPort = spec.debuggingPort === true;
    const browser = await playwright.chromium.launch({
      executablePath,
      headless,
      chromiumSandbox: sandbox,
      args: [...BASE_ARGS, `--window-size=${width},${height}`, ...(hasPort ? ["--remote-debugging-port=0"] : []), ...args],
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    });
    const [identity, endpoint] = await Promise.all([Identity.of(browser), ownEndpoint(hasPort)]);
    return new BrowserHost(browser, { width, height, ignoreHttpsErrors }, identity, endpoint);
  }

  get version() {
    return this.#browser.version();
  }

  get userAgent() {
    return this.#identity.userAgent;
  }

  get isConnected() {
    return this.#browser.isConnected();
  }

  /** The size and strictness that the prepared page is made with. */
  get defaults() {
    return this.#defaults;
  }

  /** Every context that is open but the prepared ones. */
  async contextsInUse() {
    const made = [this.#next, this.#blank].filter((one) => one !== undefined);
    const prepared = await Promise.all(made.map(({ context }) => context.catch(() => undefined)));
    return this.#browser.contexts().filter((context) => !prepared.includes(context));
  }

  /** Begin to make the next context and page with the defaults. */
  prepare() {
    if (this.isConnected) this.#next ??= this.#makeBlank();
  }

  /** No attempt is running: prepare for the one that is expected, and for the other one too. */
  rest(expected) {
    this.prepareWith(expected);
    if (this.#next?.state && this.isConnected) this.#blank ??= this.#makeBlank();
  }

  /** Prepare, and put a state into the prepared page: the next attempt is expected to ask for it. */
  prepareWith(state) {
    this.prepare();
    const next = this.#next;
    if (!state || next === undefined || next.state !== null) return;
    next.state = state;
    next.seat = next.seat.then(async (seat) => {
      await seat.keeper.restore(state, seat.page);
      return seat;
    });
    next.seat.catch(() => {});
  }

  /**
   * A fresh context with a page and the state in it, `{context, page, keeper}`: the prepared one when options and state
   * fit, else a new one.
   */
  async take(options, state) {
    while (this.#next !== undefined && fits(options, this.#defaults)) {
      const next = this.#next;
      this.#next = this.#blank;
      this.#blank = undefined;
      const mayFit = next.state === null || isDeepStrictEqual(next.state, state);
      const seat = mayFit ? await next.seat.catch(() => undefined) : undefined;
      if (seat !== undefined && !seat.page.isClosed()) {
        if (next.state === null) await seat.keeper.restore(state, seat.page);
        return seat;
      }
      next.context.then((context) => context.close()).catch(() => {}); // nobody will use it; it ends with the browser at the latest
    }
    const seat = await this.#makeSeat(await this.#makeContext(options), options);
    await seat.keeper.restore(state, seat.page);
    return seat;
  }

  async close() {
    await this.#browser.close();
  }

  #makeBlank() {
    const context = this.#makeContext(this.#defaults);
    const seat = context.then((made) => this.#makeSeat(made, this.#defaults));
    // take makes another and sees for itself what is wrong.
    context.catch(() => {});
    seat.catch(() => {});
    return { context, seat, state: null };
  }

  async #makeContext({ width, height, ignoreHttpsErrors, locale, timezone, proxy }) {
    await this.#dressed;
    return this.#browser.newContext({
      viewport: { width, height },
      userAgent: this.userAgent,
      ignoreHTTPSErrors: ignoreHttpsErrors,
      locale: locale ?? undefined,
      timezoneId: timezone ?? undefined,
      proxy: proxy ?? undefined,
    });
  }

  async #makeSeat(context, { locale }) {
    const page = await context.newPage();
    await this.#identity.dress(context, page, locale);
    context.on("page", (other) => {
      this.#identity.dress(context, other, locale).catch(() => {}); // it closed meanwhile
    });
    return { context, page, keeper: new StateKeeper(context) };
  }
}

/** Whether the prepared page is what these options ask for. */
function fits(options, defaults) {
  return (
    options.width === defaults.width &&
    options.height === defaults.height &&
    options.ignoreHttpsErrors === defaults.ignoreHttpsErrors &&
    !options.locale &&
    !options.timezone &&
    !options.proxy
  );
}

/** The pid of the browser below this process, and its websocket url if it `hasPort`; null where it never says. */
async function ownEndpoint(hasPort) {
  const deadline = performance.now() + PORT_FILE_WITHIN_MS;
  let pid = null;
  while (performance.now() < deadline) {
    for (const candidate of descendants(process.pid)) {
      const folder = profileOf(candidate);
      if (folder === undefined) continue;
      pid = candidate;
      if (!hasPort) return { pid, cdpUrl: null };
      const cdpUrl = urlFrom(folder);
      if (cdpUrl !== undefined) return { pid, cdpUrl };
    }
    await pause(PORT_FILE_LOOK_MS); // Chromium writes the file right after it starts to listen
  }
  return { pid, cdpUrl: null };
}

/** The profile folder of a browser process; undefined for every other process. */
function profileOf(pid) {
  const args = argumentsOf(pid);
  if (args.some((arg) => arg.startsWith("--type="))) return undefined;
  return args.find((arg) => arg.startsWith("--user-data-dir="))?.slice("--user-data-dir=".length);
}

function urlFrom(folder) {
  try {
    const [port, rest] = readFileSync(path.join(folder, "DevToolsActivePort"), "utf8").split("\n");
    return /^\d+$/.test(port) && rest ? `ws://127.0.0.1:${port}${rest}` : undefined;
  } catch {
    return undefined;
  }
}
