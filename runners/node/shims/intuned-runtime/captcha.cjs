"use strict";
// Waiting for a solver of captchas, where there is none.
//
// Keywright runs no solver, so nothing is ever being solved: the waiting forms do what comes before (the callback, the
// wait for the network) and then give the page the time to settle that a solver would have taken note of it in. The
// settle time never exceeds the time-out. Listeners are accepted and never called.

const SETTLE_MS = 5000;
const TIMEOUT_MS = 10_000;

/** Waits until no captcha of the page is being solved. */
async function waitForCaptchaSolve(page, { timeoutInMs = TIMEOUT_MS, settleDurationMs = SETTLE_MS } = {}) {
  checkPage(page);
  await page.waitForTimeout(Math.max(0, Math.min(settleDurationMs, timeoutInMs)));
}

/** Runs the callback, waits for the network if asked, then as above; gives what the callback gave. */
async function withWaitForCaptchaSolve(callback, { page, timeoutInMs = TIMEOUT_MS, settleDurationMs = SETTLE_MS, waitForNetworkSettled = true } = {}) {
  checkPage(page);
  const result = await callback(page);
  if (waitForNetworkSettled) {
    // A page that never falls silent is no failure.
    await page.waitForLoadState("networkidle", { timeout: timeoutInMs }).catch(() => {});
  }
  await waitForCaptchaSolve(page, { timeoutInMs, settleDurationMs });
  return result;
}

async function onCaptchaEvent(page, status, listener) {
  checkPage(page);
  checkListener(listener);
}

async function onceCaptchaEvent(page, status, listener) {
  checkPage(page);
  checkListener(listener);
}

async function pauseCaptchaSolver() {}

async function resumeCaptchaSolver() {}

function checkPage(page) {
  if (typeof page?.waitForTimeout !== "function") throw new TypeError("a page is needed");
}

function checkListener(listener) {
  if (typeof listener !== "function") throw new TypeError("a function is needed");
}

module.exports = {
  onCaptchaEvent, onceCaptchaEvent, pauseCaptchaSolver, resumeCaptchaSolver, waitForCaptchaSolve, withWaitForCaptchaSolve,
};
