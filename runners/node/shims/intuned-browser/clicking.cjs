"use strict";
// clickUntilExhausted: click a "load more" button until it is gone, disabled, or brings nothing new.

const { setTimeout: sleep } = require("node:timers/promises");
const { settle } = require("./network.cjs");
const { requirePage } = require("./sources.cjs");

const SETTLE_TIMEOUT_MS = 30_000;
// Projects give the delay in either unit; nobody waits for 100 seconds, and nobody for less than 100 milliseconds.
const SECONDS_BELOW = 100;

/**
 * Click at most `maxClicks` times, waiting `clickDelay` and for the network after each.
 *
 * `clickDelay` below 100 is in seconds, otherwise in milliseconds. With a container, stop when a click added not more than
 * `noChangeThreshold` children. `heartbeat` is called first in every round, also in the one that then stops, without
 * arguments. What it returns is awaited, because a promise that nobody waits for would end the process when it rejects.
 */
async function clickUntilExhausted({
  page, buttonLocator, heartbeat = () => {}, containerLocator, maxClicks = 50, clickDelay = 0.5, noChangeThreshold = 0,
} = {}) {
  requirePage(page, "clickUntilExhausted");
  const delayMs = clickDelay < SECONDS_BELOW ? clickDelay * 1000 : clickDelay;

  const clickOnce = async () => {
    await buttonLocator.scrollIntoViewIfNeeded();
    await buttonLocator.click({ force: true });
    await sleep(delayMs);
  };
  const clickAll = async () => {
    let children = await countChildren(containerLocator);
    for (let round = 0; round < maxClicks; round += 1) {
      await heartbeat();
      if (!(await buttonLocator.isVisible()) || !(await buttonLocator.isEnabled())) return;
      await settle(page, clickOnce, SETTLE_TIMEOUT_MS, 0);
      if (!containerLocator) continue;
      const now = await countChildren(containerLocator);
      if (now - children <= noChangeThreshold) return;
      children = now;
    }
  };
  await settle(page, clickAll, SETTLE_TIMEOUT_MS, 0);
}

/** How many direct children the container's matches have; a container that matches nothing rejects. */
async function countChildren(container) {
  if (!container) return 0;
  await container.first().waitFor({ state: "attached" });
  return container.locator("xpath=./*").count();
}

module.exports = { clickUntilExhausted };
