// Time-based one-time codes, RFC 6238 with its defaults: SHA-1, 30 seconds, 6 digits.
// Used by the site to verify a code and by tests to make one.

import { createHmac } from "node:crypto";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const STEP_SECONDS = 30;

export function base32Decode(text) {
  const bits = [...text.toUpperCase().replace(/[\s=-]/g, "")].map((letter) => {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) throw new Error(`not a base32 letter: ${letter}`);
    return value.toString(2).padStart(5, "0");
  });
  const octets = bits.join("").match(/.{8}/g) ?? [];
  return Buffer.from(octets.map((octet) => parseInt(octet, 2)));
}

export function totp(secret, { timeMs = Date.now(), digits = 6 } = {}) {
  return hotp(base32Decode(secret), Math.floor(timeMs / 1000 / STEP_SECONDS), digits);
}

/** A code of the present step or of one step to either side, as most sites accept. */
export function verifyTotp(secret, code, timeMs = Date.now()) {
  return [0, -1, 1].some((step) => totp(secret, { timeMs: timeMs + step * STEP_SECONDS * 1000 }) === code);
}

function hotp(key, counter, digits) {
  const message = Buffer.alloc(8);
  message.writeBigUInt64BE(BigInt(counter));
  const digest = createHmac("sha1", key).update(message).digest();
  const offset = digest[digest.length - 1] & 15;
  const number = digest.readUInt32BE(offset) & 0x7fffffff;
  return String(number % 10 ** digits).padStart(digits, "0");
}
