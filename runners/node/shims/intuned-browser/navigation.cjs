"use strict";
// goToUrl: navigate with several tries, then wait for the network to settle.
//
// A navigation that fails is no error unless it was asked to be one: pages are judged by what is on them.

const { setTimeout: sleep } = require("node:timers/promises");
const { settle } = require("./network.cjs");
const { isPage, requirePage } = require("./sources.cjs");

const SETTLE_TIMEOUT_MS = 30_000;
const PAUSE_MS = 2_000;
// A navigation that does not even honour its own timeout is given up this much later.
const WATCHDOG_MS = 3_000;

/**
 * Navigate to an absolute url; `retries` is the number of tries in all, each with twice the time of the one before.
 *
 * HTTP status is not looked at. After the last failure the error is thrown only with `throwOnTimeout`, and then whatever
 * its kind. `waitForLoadingStateUsingAi` never fails a navigation; this version cannot ask a model and says so.
 * `goToUrl(page, url, options)` is accepted too.
 */
async function goToUrl(given, positionalUrl, positionalOptions) {
  const {
    page,
    url,
    timeoutInMs = 30_000,
    retries = 3,
    waitForLoadState = "load",
    throwOnTimeout = false,
    waitForLoadingStateUsingAi = false,
  } = isPage(given) ? { page: given, url: positionalUrl, ...positionalOptions } : (given ?? {});
  requirePage(page, "goToUrl");
  await settle(
    page,
    async () => {
      await navigate(page, url, { timeoutInMs, retries, waitForLoadState, throwOnTimeout });
      if (waitForLoadingStateUsingAi) {
        console.warn(`goToUrl did not ask a model whether ${url} has loaded: this version has no AI gateway`);
      }
    },
    SETTLE_TIMEOUT_MS,
    0,
  );
}

async function navigate(page, url, { timeoutInMs, retries, waitForLoadState, throwOnTimeout }) {
  for (let number = 0; number < retries; number += 1) {
    try {
      await go(page, url, timeoutInMs * 2 ** number, waitForLoadState);
      return;
    } catch (error) {
      console.warn(`try ${number + 1} of ${retries} to open ${url} failed: ${error.message}`);
      await sleep(PAUSE_MS);
      if (number + 1 < retries) continue;
      console.error(`${url} could not be opened in ${retries} tries`);
      if (throwOnTimeout) throw error;
    }
  }
}

async function go(page, url, timeoutMs, waitUntil) {
  let timer;
  const hangs = new Promise((_, reject) => {
    timer = setTimeout(() => {
      // Loaded here: in a run the name leads to the Playwright that drives the page.
      const { errors } = require("playwright-core");
      const waitedMs = timeoutMs + WATCHDOG_MS;
      const hint = "a proxy may help if the site is not reachable from here";
      reject(new errors.TimeoutError(`opening ${url} hung for ${waitedMs} ms; ${hint}`));
    }, timeoutMs + WATCHDOG_MS);
  });
  try {
    await Promise.race([page.goto(url, { timeout: timeoutMs, waitUntil }), hangs]);
  } finally {
    clearTimeout(timer);
  }
}

module.exports = { goToUrl };
