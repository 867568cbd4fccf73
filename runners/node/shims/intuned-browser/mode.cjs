"use strict";
// Authoring mode: `MODE=generate_code` runs a project dry. Nothing is uploaded then, and downloads are cancelled.

// What a signed url is when nothing was uploaded. The top level domain is reserved and never resolves.
const AUTHORING_URL = "https://authoring.invalid/file";

/** Whether the project is being tried out rather than run. */
const isAuthoring = () => process.env.MODE === "generate_code";

module.exports = { AUTHORING_URL, isAuthoring };
