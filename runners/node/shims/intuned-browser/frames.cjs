"use strict";
// The nested frames below an element that carry content, in document order.
//
// Captchas, trackers and frames of at most one pixel are left out. At most MAX_FRAMES are entered per element, and
// MAX_FRAME_DEPTH levels, so that a page which nests frames without end cannot hold a helper for ever.

const { pageScript } = require("./page-scripts.cjs");

const MAX_FRAMES = 100;
const MAX_FRAME_DEPTH = 8;

/** `[{element, frame, isLive}]`: the content frames directly below the element; live when scripts may run there. */
async function nestedFrames(root) {
  const found = [];
  for (const element of (await root.$$("iframe, frame")).slice(0, MAX_FRAMES)) {
    const kind = await element.evaluate(pageScript("content-frames"));
    const frame = await element.contentFrame();
    if (kind !== "skip" && frame !== null) found.push({ element, frame, isLive: kind === "live" });
  }
  return found;
}

/** The frame's body, or its root element when it has none; null when it has neither. */
async function rootElement(frame) {
  return (await frame.evaluateHandle(() => document.body ?? document.documentElement)).asElement();
}

module.exports = { MAX_FRAME_DEPTH, nestedFrames, rootElement };
