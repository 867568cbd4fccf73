"use strict";
// Two places to keep things: one in memory for this attempt, one on the platform for the project.

const { attemptFor } = require("./attempt.cjs");

/** Any object, for the life of this attempt; undefined when it was never set. */
const attemptStore = {
  get(key) {
    return attemptFor("attemptStore").store.get(key);
  },
  set(key, value) {
    attemptFor("attemptStore").store.set(key, value);
  },
};

/** JSON values, kept across the runs of the project; undefined when the key was never set. The last writer wins. */
const persistentStore = {
  async get(key) {
    checkKey(key);
    const { found, value } = await attemptFor("persistentStore").ask("kv.get", { key });
    return found ? value : undefined;
  },
  async set(key, value) {
    checkKey(key);
    await attemptFor("persistentStore").ask("kv.set", { key, value: asJson(key, value) });
  },
};

/** The name is the one that projects may look for: the platform checks keys with zod. */
class ZodError extends TypeError {
  constructor(message) {
    super(message);
    this.name = "ZodError";
    this.issues = [{ code: "custom", path: ["key"], message }];
  }
}

function checkKey(key) {
  if (typeof key !== "string" || key.length === 0 || /[:#]/.test(key)) {
    throw new ZodError("a key of persistentStore must have at least one character and no `:` or `#`");
  }
}

function asJson(key, value) {
  if (value === undefined) return null;
  const text = JSON.stringify(value, (name, item) => {
    if (typeof item === "number" && !Number.isFinite(item)) throw new TypeError(`the value for ${key} holds ${item}, which is not JSON`);
    return item;
  });
  if (text === undefined) throw new TypeError(`the value for ${key} is a ${typeof value}, which is not JSON`);
  return JSON.parse(text);
}

module.exports = { attemptStore, persistentStore };
