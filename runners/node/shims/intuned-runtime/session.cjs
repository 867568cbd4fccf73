"use strict";
// The login that this run uses.

const { attemptFor } = require("./attempt.cjs");

/** The parameters the AuthSession was created with. Rejects when the run has none that are kept. */
async function getAuthSessionParameters() {
  return attemptFor("getAuthSessionParameters").authParameters();
}

module.exports = { getAuthSessionParameters };
