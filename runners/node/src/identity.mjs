// What the browser calls itself: the user agent and the client hints, both without "Headless".
//
// Playwright sets the user agent of every page, frame and popup before their first request, but leaves the brands of the
// client hints to Chromium, which then says HeadlessChrome. So the hints are added to that same command on its way out,
// which no page can be too early for. A Playwright whose inside looks different (a project may bring its own) gets the
// hints page by page instead, through a CDP session; there a popup's very first request still tells.

// A secure origin that exists only inside a route: client hints are invisible on about:blank.
const LOOKING_GLASS = "https://looking-glass.invalid/";
const HINTS = ["architecture", "bitness", "model", "platformVersion", "uaFullVersion", "fullVersionList", "wow64", "formFactors"];
const OVERRIDE = "Emulation.setUserAgentOverride";

export class Identity {
  #browser;
  #metadata;
  #isWorn = false;

  constructor(browser, userAgent) {
    this.#browser = browser;
    this.userAgent = userAgent;
  }

  /** Ask the browser for its user agent. */
  static async of(browser) {
    const session = await browser.newBrowserCDPSession();
    const { userAgent } = await session.send("Browser.getVersion");
    await session.detach();
    return new Identity(browser, userAgent.replace("Headless", ""));
  }

  /** Read the browser's own client hints and put them on, without the headless brand. */
  async putOn() {
    const context = await this.#browser.newContext({ userAgent: this.userAgent });
    let hints;
    try {
      const page = await context.newPage();
      await page.route("**/*", (route) => route.fulfill({ body: "", contentType: "text/html" }));
      await page.goto(LOOKING_GLASS);
      hints = await page.evaluate((names) => navigator.userAgentData?.getHighEntropyValues(names), HINTS);
    } finally {
      await context.close();
    }
    if (!hints) return;
    this.#metadata = withoutHeadless(hints);
    this.#isWorn = this.#joinOverrides();
  }

  /** Dress one page, when that does not happen by itself. */
  async dress(context, page, locale) {
    if (this.#metadata === undefined || this.#isWorn) return;
    const session = await context.newCDPSession(page);
    const language = locale ? { acceptLanguage: locale } : {};
    await session.send(OVERRIDE, { userAgent: this.userAgent, userAgentMetadata: this.#metadata, ...language });
  }

  /** Add the hints to every override that Playwright sends to our browser; whether that was possible. */
  #joinOverrides() {
    const session = this.#browser._connection?.toImpl?.(this.#browser)?._session;
    const { send } = session ?? {};
    if (typeof send !== "function" || session._connection === undefined) return false;
    const prototype = Object.getPrototypeOf(session);
    if (prototype.send !== send) return false;
    const { userAgent } = this;
    const metadata = this.#metadata;
    prototype.send = function (method, params) {
      const isOurs = method === OVERRIDE && this._connection === session._connection && params?.userAgent === userAgent;
      return send.call(this, method, isOurs ? { ...params, userAgentMetadata: metadata } : params);
    };
    return true;
  }
}

/** The hints as CDP wants them. */
function withoutHeadless(hints) {
  const honest = (brands) => (brands ?? []).filter(({ brand }) => !brand.includes("Headless"));
  return {
    brands: honest(hints.brands),
    fullVersionList: honest(hints.fullVersionList),
    fullVersion: hints.uaFullVersion ?? "",
    platform: hints.platform ?? "",
    platformVersion: hints.platformVersion ?? "",
    architecture: hints.architecture ?? "",
    model: hints.model ?? "",
    mobile: Boolean(hints.mobile),
    bitness: hints.bitness ?? "",
    wow64: Boolean(hints.wow64),
    formFactors: hints.formFactors ?? [],
  };
}
