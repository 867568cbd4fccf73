"use strict";
// uploadFileToS3 and saveFileToS3: put a download or bytes into S3, or into the platform's own file store.
//
// With a bucket and a region (by argument or environment) files go to S3, otherwise to the platform. A copy lies in a
// temporary folder while it is uploaded and is removed in every case; if the process dies, with the runner's folder.

const { randomUUID } = require("node:crypto");
const { createWriteStream } = require("node:fs");
const { mkdtemp, rm, writeFile } = require("node:fs/promises");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { extendTimeout } = require("../intuned-runtime/job.cjs");
const { SignedUrlAttachment, StoredAttachment } = require("./attachment.cjs");
const { downloadFile } = require("./downloads.cjs");
const { isAuthoring } = require("./mode.cjs");
const { storeFile } = require("./platform-files.cjs");
const { objectUrl, putFile } = require("./s3.cjs");
const { credentialsOf, settingsFromEnvironment } = require("./s3-settings.cjs");
const { isDownload } = require("./sources.cjs");

const AUTHORING_PLACE = { bucket: "testing_bucket", region: "testing_region" };

/**
 * Store a Playwright download, bytes (Buffer, Uint8Array, ArrayBuffer) or a readable stream. TypeError for anything else.
 *
 * The name is `fileNameOverride`, else the download's own, else a random one.
 */
async function uploadFileToS3({ file, configs, fileNameOverride, contentType } = {}) {
  if (!isDownload(file) && !isBytes(file) && !(file instanceof Readable)) {
    throw new TypeError("only a Playwright Download, bytes or a readable stream can be uploaded");
  }
  const suggested = isDownload(file) ? file.suggestedFilename() : undefined;
  if (isAuthoring()) return authoringAttachment(suggested);
  const settings = settingsFromEnvironment(configs);
  const name = fileNameOverride || suggested || randomUUID();
  // In a run the platform takes files from below the runner's folder only.
  const folder = await mkdtemp(path.join(process.env.KEYWRIGHT_SLOT_DIR || tmpdir(), "upload-"));
  try {
    const copy = path.join(folder, "file");
    if (settings.region && settings.bucket) return await toS3(file, copy, settings, { name, suggested, contentType });
    await write(file, copy);
    const signedUrl = await storeFile(copy, name, contentType);
    return new SignedUrlAttachment({ fileName: name, suggestedFileName: suggested || name, signedUrl });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Download (see downloadFile), ask for the run's full time again, upload. Outside a run it rejects. */
async function saveFileToS3({ page, trigger, timeoutInMs, configs, fileNameOverride, contentType } = {}) {
  const file = await downloadFile({ page, trigger, timeoutInMs });
  if (!isAuthoring()) extendTimeout();
  return uploadFileToS3({ file, configs, fileNameOverride, contentType });
}

async function toS3(file, copy, settings, { name, suggested, contentType }) {
  const key = `${randomUUID()}/${cleanName(name)}`;
  const { bucket, region, endpoint } = settings;
  try {
    const credentials = credentialsOf(settings);
    await write(file, copy);
    await putFile({ url: objectUrl({ bucket, region, endpoint, key }), region, credentials, path: copy, contentType });
  } finally {
    if (isDownload(file)) await file.delete();
  }
  return new StoredAttachment({ fileName: key, suggestedFileName: suggested ?? "", bucket, region, endpoint });
}

function isBytes(file) {
  return file instanceof Uint8Array || file instanceof ArrayBuffer;
}

async function write(file, copy) {
  if (isDownload(file)) await file.saveAs(copy);
  else if (isBytes(file)) await writeFile(copy, file instanceof ArrayBuffer ? new Uint8Array(file) : file);
  else await pipeline(file, createWriteStream(copy));
}

/** The name with one underscore for each run of characters that object keys should not have. */
function cleanName(name) {
  return name.replace(/[^A-Za-z0-9.\-_/]/g, "_").replace(/_+/g, "_");
}

function authoringAttachment(suggested) {
  const bare = randomUUID();
  const names =
    suggested === undefined
      ? { fileName: bare, key: bare, suggestedFileName: bare }
      : { fileName: `${bare}/${suggested}`, key: `${randomUUID()}/${suggested}`, suggestedFileName: suggested };
  return new StoredAttachment({ ...names, ...AUTHORING_PLACE });
}

module.exports = { publicNames: { saveFileToS3, uploadFileToS3 }, cleanName };
