"use strict";
// The two requests made to S3: put a file, and the url that reads one.
//
// A put is one request without a retry; if the process dies in it, S3 keeps nothing. Errors carry S3's status and the
// beginning of its answer, never a credential.

const { createHash } = require("node:crypto");
const { createReadStream } = require("node:fs");
const { stat } = require("node:fs/promises");
const http = require("node:http");
const https = require("node:https");
const { pipeline } = require("node:stream/promises");
const { encoded, presign, signHeaders } = require("./sigv4.cjs");

// S3's own limit for one put.
const MAX_PUT_BYTES = 5 * 1024 ** 3;
const TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 2000;

/** Where an object is: in the bucket's own host at AWS, below the bucket's path at an endpoint of one's own. */
function objectUrl({ bucket, region, endpoint, key }) {
  const path = key.split("/").map(encoded).join("/");
  if (endpoint) {
    const base = endpoint.includes("://") ? endpoint : `https://${endpoint}`;
    return `${base.replace(/\/+$/, "")}/${encoded(bucket)}/${path}`;
  }
  // The certificate of the buckets' hosts covers one label only.
  if (bucket.includes(".")) return `https://s3.${region}.amazonaws.com/${encoded(bucket)}/${path}`;
  return `https://${bucket}.s3.${region}.amazonaws.com/${path}`;
}

/** A presigned GET. */
function signedReadUrl({ bucket, region, endpoint, key, credentials, expiresSeconds }) {
  const url = objectUrl({ bucket, region, endpoint, key });
  return presign({ method: "GET", url, region, credentials, now: new Date(), expiresSeconds });
}

/** Upload a file. Rejects for every answer but 200. */
async function putFile({ url, region, credentials, path, contentType }) {
  const { size } = await stat(path);
  if (size > MAX_PUT_BYTES) {
    throw new RangeError(`the file has ${size} bytes; S3 takes at most ${MAX_PUT_BYTES} in one upload`);
  }
  const digest = createHash("sha256");
  await pipeline(createReadStream(path), digest);
  const payloadSha256 = digest.digest("hex");
  const headers = contentType ? { "content-type": contentType } : {};
  const signed = signHeaders({ method: "PUT", url, headers, payloadSha256, region, credentials, now: new Date() });
  const { status, text } = await put(url, { ...signed, "content-length": size }, path);
  if (status !== 200) throw new Error(`S3 refused the upload with status ${status}: ${text}`);
}

function put(url, headers, path) {
  const { request } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    const call = request(url, { method: "PUT", headers, timeout: TIMEOUT_MS }, (answer) => {
      const chunks = [];
      let size = 0;
      answer.on("data", (chunk) => {
        if (size < MAX_ANSWER_BYTES) chunks.push(chunk);
        size += chunk.length;
      });
      answer.on("error", reject);
      answer.on("end", () => {
        const text = Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString("utf8");
        resolve({ status: answer.statusCode, text });
      });
    });
    call.on("timeout", () => call.destroy(new Error(`S3 did not answer for ${TIMEOUT_MS} ms`)));
    call.on("error", reject);
    pipeline(createReadStream(path), call).catch(reject);
  });
}

module.exports = { objectUrl, putFile, signedReadUrl };
