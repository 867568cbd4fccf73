"use strict";
// Attachment: a stored file, as results carry it.
//
// Only the reference is here; the bytes are in the store. Fields without a value are left out of the JSON form.

const { AUTHORING_URL, isAuthoring } = require("./mode.cjs");
const { signedReadUrl } = require("./s3.cjs");
const { credentialsOf, settingsFromEnvironment } = require("./s3-settings.cjs");

const DEFAULT_URL_SECONDS = 432_000;
const FIELDS = ["fileName", "key", "suggestedFileName", "fileType", "bucket", "region", "endpoint", "signedUrl"];

/** What kind of file it is; there is one kind. */
const AttachmentType = Object.freeze({ DOCUMENT: "document" });

/** A file in an S3 bucket. */
class StoredAttachment {
  constructor({ fileName, key = fileName, suggestedFileName, fileType = AttachmentType.DOCUMENT, bucket, region, endpoint }) {
    Object.assign(this, { fileName, key, suggestedFileName, fileType, bucket, region, endpoint });
  }

  /**
   * A url that reads the file without a key for `expiration` seconds.
   *
   * Signed with the credentials and region of the environment. Rejects without a bucket or region.
   */
  async getSignedUrl(expiration = DEFAULT_URL_SECONDS) {
    if (isAuthoring()) return AUTHORING_URL;
    if (!this.bucket || !this.region) throw new Error("getSignedUrl needs the attachment's bucket and region");
    const settings = settingsFromEnvironment();
    return signedReadUrl({
      bucket: this.bucket,
      region: settings.region ?? this.region,
      endpoint: this.endpoint,
      key: this.fileName,
      credentials: credentialsOf(settings),
      expiresSeconds: expiration,
    });
  }

  /** The file's url at S3, not percent-encoded. Throws for files that are not in S3 itself. */
  getS3Key() {
    if (this.endpoint) throw new Error("getS3Key is not available with an endpoint of one's own");
    if (!this.bucket || !this.region) throw new Error("getS3Key needs the attachment's bucket and region");
    return `https://${this.bucket}.s3.${this.region}.amazonaws.com/${this.fileName}`;
  }

  /** The object's key in the bucket. */
  getFilePath() {
    return this.fileName;
  }

  /** A plain record without the fields that have no value. */
  toDict() {
    return Object.fromEntries(
      FIELDS.map((name) => [name, this[name]]).filter(([, value]) => value !== undefined && value !== null),
    );
  }

  toJSON() {
    return this.toDict();
  }
}

/** A file in the platform's own store, with a url that reads it. */
class SignedUrlAttachment extends StoredAttachment {
  constructor({ signedUrl, ...fields }) {
    super(fields);
    this.signedUrl = signedUrl;
  }

  /** The url given when the file was stored; its life does not depend on `expiration`. */
  async getSignedUrl() {
    return isAuthoring() ? AUTHORING_URL : this.signedUrl;
  }

  /** Always throws: the file is not in S3. */
  getS3Key() {
    throw new Error("getS3Key is not available for files in the platform's own store");
  }
}

module.exports = { publicNames: { AttachmentType }, SignedUrlAttachment, StoredAttachment };
