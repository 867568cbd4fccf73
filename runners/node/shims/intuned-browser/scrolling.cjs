"use strict";
// scrollToLoadContent: scroll to the end until no more content appears.

const { setTimeout: sleep } = require("node:timers/promises");
const { settle } = require("./network.cjs");
const { isPage, requireSource } = require("./sources.cjs");

const SETTLE_TIMEOUT_MS = 10_000;
// Before the first round; below zero, so that the first round goes on for any page that is high enough to matter.
const NO_HEIGHT = -1;

/**
 * Scroll down until the height grows by less than `minHeightChange`, or `maxScrolls` times.
 *
 * `onScrollProgress` is called first in every round, without arguments. What it returns is awaited, because a promise
 * that nobody waits for would end the process when it rejects.
 */
async function scrollToLoadContent({
  source, onScrollProgress = () => {}, maxScrolls = 50, delayInMs = 100, minHeightChange = 100,
} = {}) {
  requireSource(source, "scrollToLoadContent");
  const page = isPage(source) ? source : source.page();
  const scroll = isPage(source) ? () => source.evaluate(scrollPage) : () => source.evaluate(scrollElement);
  let lastHeight = NO_HEIGHT;
  for (let round = 0; round < maxScrolls; round += 1) {
    await onScrollProgress();
    const height = await settle(page, scroll, SETTLE_TIMEOUT_MS, 0);
    if (Math.abs(height - lastHeight) < minHeightChange) return;
    lastHeight = height;
    await sleep(delayInMs);
  }
}

// These two run in the page.

function scrollPage() {
  const height = document.body.scrollHeight;
  window.scrollTo(0, height);
  return height;
}

function scrollElement(element) {
  const height = element.scrollHeight;
  element.scrollTop = height;
  return height;
}

module.exports = { scrollToLoadContent };
