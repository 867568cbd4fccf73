"use strict";
// downloadFile: trigger a download and wait for it.
//
// The trigger is a url, a locator or element to click, or a function. Every failure is Playwright's TimeoutError with a
// text that names the trigger. A page opened for the download is closed in every case.

const { isAuthoring } = require("./mode.cjs");
const { pageScript } = require("./page-scripts.cjs");
const { isElementHandle, isLocator, requirePage } = require("./sources.cjs");
const { resolveUrl } = require("./urls.cjs");

// The download event may come this much after the time given for the trigger.
const GRACE_MS = 1000;
const PRINT_MS = 1000;
const NOT_FOUND = /\b(404|not found|no longer (exists|available)|does ?n[o']t exist)\b/i;

/**
 * The first download of the page after the trigger.
 *
 * A url is opened in a page of its own; relative urls are resolved by a link of the page that has exactly this `href`,
 * else against the site's root. If a click or function asks to print, the page is downloaded as `print.pdf`.
 */
async function downloadFile({ page, trigger, timeoutInMs = 5000 } = {}) {
  requirePage(page, "downloadFile");
  const download = await (typeof trigger === "string" ? downloadUrl : downloadFrom)(page, trigger, timeoutInMs);
  if (isAuthoring()) await download.cancel();
  return download;
}

async function downloadUrl(page, url, timeoutMs) {
  const address = await addressOf(page, url);
  if (!/^[a-z][a-z0-9+.-]*:/i.test(address) || address.includes(" ")) {
    console.warn(`${address} does not look like a url that could be downloaded`);
  }
  const own = await page.context().newPage();
  try {
    return await firstDownload(own, () => open(own, address, timeoutMs), timeoutMs);
  } catch (error) {
    const hint = (await looksNotFound(own)) ? "; the page looks like a “not found” page" : "";
    throw timeoutError(`${url} started no download within ${timeoutMs} ms${hint}`, error);
  } finally {
    await own.close();
  }
}

async function addressOf(page, url) {
  // The text goes in as an argument, so that nothing in it can be taken for a selector.
  const href = await page.evaluate((wanted) => {
    const links = [...document.querySelectorAll("a[href]")].filter((link) => link.getAttribute("href") === wanted);
    return links.length === 1 ? links[0].href : null;
  }, url);
  return href || resolveUrl({ url, page });
}

async function open(page, address, timeoutMs) {
  let answer;
  try {
    answer = await page.goto(address, { timeout: timeoutMs, waitUntil: "load" });
  } catch {
    // A download aborts the navigation that led to it; any other failure shows in that none comes.
    return;
  }
  if (!(answer?.headers()["content-type"] ?? "").startsWith("image/")) return;
  const name = new URL(address).pathname.split("/").at(-1);
  await page.evaluate(clickDownloadLink, { href: address, name });
}

async function downloadFrom(page, trigger, timeoutMs) {
  const pull = async () => {
    await page.evaluate(pageScript("print-watch"));
    if (isLocator(trigger) || isElementHandle(trigger)) await trigger.click({ timeout: timeoutMs });
    else if (typeof trigger === "function") await trigger(page);
    // No trigger at all: what is left is the wait.
    else return;
    if (!(await askedToPrint(page))) return;
    const pdf = await page.pdf({ format: "A4" });
    await page.evaluate(saveBytes, { base64: pdf.toString("base64"), name: "print.pdf" });
  };
  try {
    return await firstDownload(page, pull, timeoutMs);
  } catch (error) {
    throw timeoutError(`${nameOf(trigger)} started no download within ${timeoutMs} ms: ${error.message}`, error);
  }
}

/** The page's first download; one that came is kept even if the trigger failed afterwards. */
async function firstDownload(page, pull, timeoutMs) {
  let download;
  const inPopup = (popup) => {
    popup.on("download", () => console.warn("a download began in a popup; only those of the page itself count"));
  };
  page.on("popup", inPopup);
  const coming = page.waitForEvent("download", { timeout: timeoutMs + GRACE_MS });
  coming.then((found) => { download = found; }, () => {});
  try {
    await pull().catch((error) => {
      if (download === undefined) throw error;
    });
    return await coming;
  } finally {
    page.off("popup", inPopup);
  }
}

async function askedToPrint(page) {
  try {
    await page.waitForFunction(() => window.__keywrightPrinted === true, undefined, { timeout: PRINT_MS });
    return true;
  } catch {
    // Not asked within the time, or the page went away, which is no wish to print either.
    return false;
  }
}

async function looksNotFound(page) {
  try {
    return NOT_FOUND.test(await page.evaluate(() => `${document.title} ${document.body?.innerText ?? ""}`.slice(0, 10_000)));
  } catch {
    // The hint is all that is lost.
    return false;
  }
}

function timeoutError(message, cause) {
  // Loaded here: in a run the name leads to the Playwright that drives the page.
  const { errors } = require("playwright-core");
  return Object.assign(new errors.TimeoutError(message), { cause });
}

function nameOf(trigger) {
  if (isLocator(trigger) || isElementHandle(trigger)) return `clicking ${trigger}`;
  return typeof trigger === "function" ? `the function ${trigger.name || "given"}` : `a trigger of type ${typeof trigger}`;
}

// These two run in the page.

function clickDownloadLink({ href, name }) {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  document.documentElement.append(link);
  link.click();
  link.remove();
}

function saveBytes({ base64, name }) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "application/pdf" }));
  link.download = name;
  document.documentElement.append(link);
  link.click();
  link.remove();
}

module.exports = { downloadFile };
