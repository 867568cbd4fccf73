// The strict JSON form of what user code returns.
//
// Accepted: what JSON.stringify writes without loss, in its own way (toJSON is called, undefined properties are left
// out, undefined in a list or alone is null). Refused with a sentence that says where: NaN and Infinity, functions,
// symbols, bigints, lone surrogates, cycles, more than 100 levels, and the kinds of object JSON.stringify would silently
// empty (Map, Set, Promise). Pure; nothing is lost if the process dies here.

import { types } from "node:util";

const MAX_DEPTH = 100;
const MAX_KEY_SHOWN = 80;

/** The value is not JSON. */
export class InvalidOutput extends Error {}

/** The value in plain objects, arrays and scalars only. Throws InvalidOutput. */
export function toPlain(value, name = "the result") {
  try {
    return plain(value, "", name, 0, new Set()) ?? null;
  } catch (error) {
    if (error instanceof InvalidOutput) throw error;
    // A getter, a proxy or a toJSON of the user's threw.
    throw new InvalidOutput(`${name} could not be read: ${error}`);
  }
}

function plain(given, key, where, depth, path) {
  let value = given;
  if (value !== null && (typeof value === "object" || typeof value === "bigint") && typeof value.toJSON === "function") {
    value = value.toJSON(key);
  }
  if (types.isBoxedPrimitive(value)) value = value.valueOf();
  switch (typeof value) {
    case "undefined":
    case "boolean":
      return value;
    case "string":
      return text(value, where);
    case "number":
      if (!Number.isFinite(value)) throw new InvalidOutput(`${where} is ${value}, which is not JSON`);
      return value;
    case "function":
    case "symbol":
    case "bigint":
      throw new InvalidOutput(`${where} is a ${typeof value}, which is not JSON`);
    default:
      return value === null ? null : composite(value, where, depth, path);
  }
}

function composite(value, where, depth, path) {
  if (path.has(value)) throw new InvalidOutput(`${where} contains itself`);
  if (depth >= MAX_DEPTH) throw new InvalidOutput(`the result is nested deeper than ${MAX_DEPTH} levels`);
  if (types.isPromise(value)) throw new InvalidOutput(`${where} is a Promise: is an await missing?`);
  if (types.isMap(value) || types.isSet(value)) {
    throw new InvalidOutput(`${where} is a ${types.isMap(value) ? "Map" : "Set"}, which is not JSON`);
  }
  path.add(value);
  let result;
  if (Array.isArray(value)) {
    result = [];
    for (let index = 0; index < value.length; index += 1) {
      result.push(plain(value[index], String(index), `${where}[${index}]`, depth + 1, path) ?? null);
    }
  } else {
    result = {};
    for (const key of Object.keys(value)) {
      const name = text(key, `a key of ${where}`);
      const item = plain(value[key], key, `${where}[${JSON.stringify(name.slice(0, MAX_KEY_SHOWN))}]`, depth + 1, path);
      if (item === undefined) continue;
      // "__proto__" must become a property, not the prototype.
      Object.defineProperty(result, name, { value: item, enumerable: true, configurable: true, writable: true });
    }
  }
  path.delete(value);
  return result;
}

function text(value, where) {
  if (!value.isWellFormed()) throw new InvalidOutput(`${where} holds a lone surrogate, which is not JSON`);
  return value;
}
