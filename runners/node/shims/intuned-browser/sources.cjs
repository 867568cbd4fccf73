"use strict";
// Whether something is a Playwright page or locator, by what it can do: several versions of Playwright may be installed,
// and their classes are not each other's.

const has = (value, ...names) =>
  value !== null && typeof value === "object" && names.every((name) => typeof value[name] === "function");

const isPage = (value) => has(value, "goto", "context", "mainFrame");
const isLocator = (value) => has(value, "page", "elementHandle", "evaluate", "click") && !isPage(value);
const isElementHandle = (value) => has(value, "ownerFrame", "contentFrame", "click");
const isDownload = (value) => has(value, "suggestedFilename", "saveAs");

/** The page. Throws TypeError for anything else. */
function requirePage(value, name) {
  if (!isPage(value)) throw new TypeError(`${name}: page must be a Playwright Page`);
  return value;
}

/** The page or locator. Throws TypeError for anything else. */
function requireSource(value, name) {
  if (!isPage(value) && !isLocator(value)) throw new TypeError(`${name}: source must be a Playwright Page or Locator`);
  return value;
}

module.exports = { isDownload, isElementHandle, isLocator, isPage, requirePage, requireSource };
