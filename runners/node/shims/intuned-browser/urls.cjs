"use strict";
// resolveUrl: an absolute url from a relative one, or from a link on the page.
//
// Joining and encoding are written out, because the URL class normalises more than a site may bear: it drops default
// ports, re-encodes what is encoded already and refuses bases without a scheme.

const { isLocator, requirePage } = require("./sources.cjs");

// Every text matches: scheme, host, path, query and fragment.
const PARTS = /^(?:([a-z][a-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/is;

/**
 * The absolute url.
 *
 * A locator must be an `<a>`; its `href` as the browser resolves it is returned. A text that has scheme and host is
 * returned as it is. Otherwise it is joined to `baseUrl`, or to the root of the page's site (not to the page's path), and
 * what is not allowed in a path or query is percent-encoded.
 */
async function resolveUrl({ url, baseUrl, page } = {}) {
  const isBaseGiven = baseUrl !== undefined && baseUrl !== null;
  const isPageGiven = page !== undefined && page !== null;
  if (isLocator(url)) {
    if (isBaseGiven || isPageGiven) throw new Error("resolveUrl: a locator is resolved by itself, without baseUrl or page");
    return hrefOf(url);
  }
  if (typeof url !== "string") throw new TypeError("resolveUrl: url must be a string or a Locator");
  if (isBaseGiven === isPageGiven) throw new Error("resolveUrl: give either baseUrl or page");
  if (isBaseGiven) return join(baseUrl, url);
  const at = split(requirePage(page, "resolveUrl").url());
  return join(`${at.scheme}://${at.host ?? ""}`, url);
}

async function hrefOf(link) {
  const [name, href] = await link.evaluate((element) => [element.localName, element.href]);
  if (name !== "a") throw new Error(`resolveUrl: the locator must be an <a> element, not <${name}>`);
  return href;
}

function join(baseUrl, url) {
  const given = split(url);
  if (given.scheme && given.host) return url;
  const { scheme, host, path, query, fragment } = joined(split(baseUrl), given, baseUrl, url);
  const [plain, parameters] = splitParameters(path);
  return written({ scheme, host, path: encode(plain, "/%") + parameters, query: query && encode(query, "=&%"), fragment });
}

/** Reference resolution of RFC 3986, without a change to what the parts hold. */
function joined(base, given, baseUrl, url) {
  if (url === "") return base;
  if (baseUrl === "") return given;
  if (given.scheme && given.scheme !== base.scheme) return given;
  const scheme = base.scheme;
  if (given.host) return { ...given, scheme };
  if (given.path === "") return { ...base, query: given.query || base.query, fragment: given.fragment };
  const folder = base.path.slice(0, base.path.lastIndexOf("/") + 1);
  const path = given.path.startsWith("/") ? given.path : (folder || (base.host ? "/" : "")) + given.path;
  return { ...given, scheme, host: base.host, path: withoutDots(path) };
}

function withoutDots(path) {
  const kept = [];
  const parts = path.split("/");
  for (const part of parts) {
    if (part === "..") {
      // The empty part before the first slash stays.
      if (kept.length > 1 || (kept.length === 1 && kept[0] !== "")) kept.pop();
    } else if (part !== ".") {
      kept.push(part);
    }
  }
  if (parts.at(-1) === "." || parts.at(-1) === "..") kept.push("");
  return kept.join("/") || "/";
}

/** Scheme and host are undefined where the text has none. */
function split(text) {
  // As browsers do: blanks around the url and line breaks in it mean nothing.
  const url = text.replace(/^[\0- ]+/, "").replace(/[\t\r\n]/g, "");
  const [, scheme, host, path, query, fragment] = PARTS.exec(url);
  return { scheme: scheme?.toLowerCase(), host, path, query: query ?? "", fragment: fragment ?? "" };
}

/** The parameters of the last path segment (`;jsessionid=…`) are the site's own and stay as they are. */
function splitParameters(path) {
  const start = path.indexOf(";", path.lastIndexOf("/") + 1);
  return start === -1 ? [path, ""] : [path.slice(0, start), path.slice(start)];
}

function written({ scheme, host, path, query, fragment }) {
  const authority = host === undefined ? "" : `//${host}`;
  const from = scheme === undefined ? "" : `${scheme}:`;
  return `${from}${authority}${path}${query && `?${query}`}${fragment && `#${fragment}`}`;
}

/** Percent-encode all but letters, digits, `_.-~` and the characters in `safe`. */
function encode(text, safe) {
  let result = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const character = String.fromCharCode(byte);
    const isKept = byte < 0x80 && (/[A-Za-z0-9_.~-]/.test(character) || safe.includes(character));
    result += isKept ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return result;
}

module.exports = { resolveUrl };
