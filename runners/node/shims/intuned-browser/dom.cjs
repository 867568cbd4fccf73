"use strict";
// waitForDomSettled: wait until a page or an element has stopped changing.
//
// Not settling is an answer (false), not an error. Nested frames are waited for after the element, one by one.

const { MAX_FRAME_DEPTH, nestedFrames } = require("./frames.cjs");
const { pageScript } = require("./page-scripts.cjs");
const { isLocator, requireSource } = require("./sources.cjs");

/**
 * True once nothing has changed for `settleDurationMs`; false when that did not happen within `timeoutInMs`.
 *
 * A locator that matches nothing, or several elements, rejects as Playwright does.
 */
async function waitForDomSettled({ source, settleDurationMs = 500, timeoutInMs = 30_000 } = {}) {
  requireSource(source, "waitForDomSettled");
  const element = isLocator(source) ? await source.elementHandle() : null;
  let isSettled;
  try {
    const root = element ?? (await documentElement(source));
    isSettled = root !== null && (await settledBelow(root, { settleMs: settleDurationMs, timeoutMs: timeoutInMs }, 0));
  } catch (error) {
    // A page that navigates or closes meanwhile has not settled.
    console.warn(`waiting for the document to settle ended early: ${error.message}`);
    return false;
  }
  if (!isSettled) console.warn(`the document did not settle within ${timeoutInMs} ms`);
  return isSettled;
}

async function documentElement(frame) {
  return (await frame.evaluateHandle(() => document.documentElement)).asElement();
}

async function settledBelow(element, times, depth) {
  if (!(await element.evaluate(pageScript("dom-settled"), times))) return false;
  if (depth === MAX_FRAME_DEPTH) return true;
  for (const { frame, isLive } of await nestedFrames(element)) {
    if (!isLive) continue;
    const root = await documentElement(frame);
    if (root !== null && !(await settledBelow(root, times, depth + 1))) return false;
  }
  return true;
}

module.exports = { waitForDomSettled };
