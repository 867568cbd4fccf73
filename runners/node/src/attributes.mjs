// Attributes that user code attaches to a run, with the limits on them.
//
// Every breach throws a RangeError or TypeError and changes nothing. The outcome carries them on success and failure
// alike.

const KEY = /^[a-zA-Z][a-zA-Z0-9_]{0,63}$/;
const MAX_TEXT = 255;
const MAX_ITEMS = 20;
const MAX_KEYS = 64;
const MAX_BYTES = 16 * 1024;

export class RunAttributes {
  #values = new Map();

  /** Set or replace one attribute. */
  set(key, value) {
    checkKey(key);
    const changed = new Map(this.#values).set(key, wireValue(key, value));
    if (changed.size > MAX_KEYS) throw new RangeError(`a run can have at most ${MAX_KEYS} attributes`);
    const bytes = Buffer.byteLength(JSON.stringify(Object.fromEntries(changed)));
    if (bytes > MAX_BYTES) {
      throw new RangeError(`the attributes of a run can take at most ${MAX_BYTES} bytes, this would be ${bytes}`);
    }
    this.#values = changed;
  }

  /** Remove one attribute; an unset one is fine. */
  delete(key) {
    checkKey(key);
    this.#values.delete(key);
  }

  /** A copy, in JSON's types; undefined when there are none. */
  toJSON() {
    return this.#values.size === 0 ? undefined : Object.fromEntries(this.#values);
  }
}

function checkKey(key) {
  if (typeof key !== "string" || !KEY.test(key)) {
    throw new TypeError(`${JSON.stringify(key)} is not an attribute key: a letter, then at most 63 letters, digits or underscores`);
  }
}

function wireValue(key, value) {
  if (typeof value === "boolean") return value;
  if (typeof value === "string") return text(key, value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new RangeError(`attribute ${key}: a number must be finite`);
    return value;
  }
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new RangeError(`attribute ${key}: the date is invalid`);
    return value.toISOString();
  }
  if (Array.isArray(value)) {
    if (value.length > MAX_ITEMS) throw new RangeError(`attribute ${key}: a list can have at most ${MAX_ITEMS} items`);
    return Array.from(value, (item) => {
      if (typeof item !== "string") throw new TypeError(`attribute ${key}: a list can hold texts only`);
      return text(key, item);
    });
  }
  throw new TypeError(`attribute ${key}: ${value === null ? "null" : typeof value} is not a type an attribute can have`);
}

function text(key, value) {
  if (value.length > MAX_TEXT) throw new RangeError(`attribute ${key}: a text can have at most ${MAX_TEXT} characters`);
  if (!value.isWellFormed()) throw new TypeError(`attribute ${key}: the text holds a lone surrogate`);
  return value;
}
