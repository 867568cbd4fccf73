"use strict";
// extractMarkdown: a page or an element as markdown, nested frames included.
//
// The conversion itself is a script that runs in the page; this file walks the frames.

const { MAX_FRAME_DEPTH, nestedFrames, rootElement } = require("./frames.cjs");
const { pageScript } = require("./page-scripts.cjs");
const { isLocator, requireSource } = require("./sources.cjs");

/** The markdown of a page's body, or of the one element that a locator matches. */
async function extractMarkdown({ source } = {}) {
  requireSource(source, "extractMarkdown");
  const root = isLocator(source) ? await source.elementHandle() : await rootElement(source.mainFrame());
  return root === null ? "" : markdownOf(root, 0);
}

async function markdownOf(root, depth) {
  const frames = [];
  if (depth < MAX_FRAME_DEPTH) {
    for (const { element, frame } of await nestedFrames(root)) {
      const inner = await rootElement(frame);
      if (inner !== null) frames.push({ frame: element, markdown: await markdownOf(inner, depth + 1) });
    }
  }
  return root.evaluate(pageScript("markdown"), frames);
}

module.exports = { extractMarkdown };
