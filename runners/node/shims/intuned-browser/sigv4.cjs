"use strict";
// AWS Signature Version 4, as far as one PUT and one presigned GET need it.
//
// Pure: time and payload hash are arguments. A few dozen lines of our own, because the smallest maintained client brings
// a hundred times as much for the two requests that are made here.

const { createHash, createHmac } = require("node:crypto");

const ALGORITHM = "AWS4-HMAC-SHA256";
const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

/** The headers to send: those given, and those that make the request valid. */
function signHeaders({ method, url, headers, payloadSha256, region, credentials, now }) {
  const at = partsOf(url);
  const signed = {};
  for (const [name, value] of Object.entries(headers)) signed[name.toLowerCase()] = value.trim().replace(/\s+/g, " ");
  Object.assign(signed, { host: at.host, "x-amz-content-sha256": payloadSha256, "x-amz-date": stamp(now) });
  if (credentials.sessionToken) signed["x-amz-security-token"] = credentials.sessionToken;
  const names = Object.keys(signed).sort().join(";");
  const signature = sign({ method, ...at, headers: signed, payloadSha256, region, credentials, now });
  const credential = `${credentials.accessKeyId}/${scope(region, now)}`;
  return { ...signed, authorization: `${ALGORITHM} Credential=${credential},SignedHeaders=${names},Signature=${signature}` };
}

/** The url with a signature in its query, valid for `expiresSeconds` from `now`. */
function presign({ method, url, region, credentials, now, expiresSeconds }) {
  const { scheme, host, path } = partsOf(url);
  const parameters = {
    "X-Amz-Algorithm": ALGORITHM,
    "X-Amz-Credential": `${credentials.accessKeyId}/${scope(region, now)}`,
    "X-Amz-Date": stamp(now),
    "X-Amz-Expires": String(expiresSeconds),
    "X-Amz-SignedHeaders": "host",
  };
  if (credentials.sessionToken) parameters["X-Amz-Security-Token"] = credentials.sessionToken;
  const query = Object.keys(parameters)
    .sort()
    .map((name) => `${encoded(name)}=${encoded(parameters[name])}`)
    .join("&");
  const headers = { host };
  const signature = sign({ method, path, query, headers, payloadSha256: UNSIGNED_PAYLOAD, region, credentials, now });
  return `${scheme}://${host}${path}?${query}&X-Amz-Signature=${signature}`;
}

/** Percent-encoded as the signature wants it: all but letters, digits and `-._~`. */
function encoded(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sign({ method, path, query, headers, payloadSha256, region, credentials, now }) {
  const names = Object.keys(headers).sort();
  const request = [method, path, query, ...names.map((name) => `${name}:${headers[name]}`), "", names.join(";"), payloadSha256];
  const digest = createHash("sha256").update(request.join("\n")).digest("hex");
  let key = Buffer.from(`AWS4${credentials.secretAccessKey}`);
  for (const part of scope(region, now).split("/")) key = hmac(key, part);
  return hmac(key, [ALGORITHM, stamp(now), scope(region, now), digest].join("\n")).toString("hex");
}

/** The url's parts as written: what is signed must be what is sent. */
function partsOf(url) {
  const [, scheme, host, path, query] = /^([a-z]+):\/\/([^/?]+)([^?]*)(?:\?(.*))?$/.exec(url);
  return { scheme, host, path: path || "/", query: query ?? "" };
}

function hmac(key, text) {
  return createHmac("sha256", key).update(text).digest();
}

function stamp(now) {
  return now.toISOString().replace(/[-:]|\.\d+/g, "");
}

function scope(region, now) {
  return `${stamp(now).slice(0, 8)}/${region}/s3/aws4_request`;
}

module.exports = { encoded, presign, signHeaders };
