"use strict";
// Where uploads go: the configs given by the project, completed field by field from the environment.
//
// Secrets are held in memory only and are never part of an error or a log line.

// field -> environment variables, in the order in which they are asked
const ENVIRONMENT = {
  bucket: ["AWS_BUCKET", "INTUNED_S3_BUCKET"],
  region: ["AWS_REGION", "INTUNED_S3_REGION"],
  endpoint: ["AWS_ENDPOINT_URL", "INTUNED_S3_ENDPOINT_URL"],
  accessKeyId: ["AWS_ACCESS_KEY_ID", "INTUNED_S3_ACCESS_KEY_ID"],
  secretAccessKey: ["AWS_SECRET_ACCESS_KEY", "INTUNED_S3_SECRET_ACCESS_KEY"],
};

/** The given settings (or none) completed from the environment. TypeError for what does not fit. */
function settingsFromEnvironment(configs) {
  if (configs !== undefined && configs !== null && typeof configs !== "object") {
    throw new TypeError("configs must be an object with bucket, region, accessKeyId, secretAccessKey and endpoint");
  }
  const settings = {};
  for (const [field, names] of Object.entries(ENVIRONMENT)) {
    const given = configs?.[field];
    // Without the value: it may be the secret.
    if (given !== undefined && given !== null && typeof given !== "string") {
      throw new TypeError(`configs.${field} must be a string`);
    }
    settings[field] = given || names.map((name) => process.env[name]).find(Boolean);
  }
  return settings;
}

/**
 * `{accessKeyId, secretAccessKey, sessionToken?}`; throws when a half of the pair is missing.
 *
 * Only arguments and environment are asked: no profile files, no metadata service of a cloud.
 */
function credentialsOf({ accessKeyId, secretAccessKey }) {
  if (!accessKeyId || !secretAccessKey) {
    const remedy = "give accessKeyId and secretAccessKey, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    throw new Error(`no S3 credentials: ${remedy}`);
  }
  // A session token belongs to the environment's key only.
  const isFromEnvironment = accessKeyId === process.env.AWS_ACCESS_KEY_ID;
  const sessionToken = isFromEnvironment ? process.env.AWS_SESSION_TOKEN || undefined : undefined;
  return { accessKeyId, secretAccessKey, sessionToken };
}

module.exports = { credentialsOf, settingsFromEnvironment };
