"use strict";
// The platform's own file store: the worker takes a file out of the runner's private folder and answers with a url.
//
// Only inside a run. If the process dies in the call, the worker still removes the folder.

const { currentAttempt } = require("../intuned-runtime/attempt.cjs");

/** The url that reads the stored file. Rejects outside of a run. */
async function storeFile(path, fileName, contentType) {
  const attempt = currentAttempt();
  if (attempt === undefined) {
    const remedy = "set AWS_BUCKET and AWS_REGION, or give configs, to upload to an S3 bucket";
    throw new Error(`no place to upload to: there is no workspace and project outside a run; ${remedy}`);
  }
  const answer = await attempt.ask("file.store", { path, fileName, ...(contentType ? { contentType } : {}) });
  return answer.readUrl;
}

module.exports = { storeFile };
