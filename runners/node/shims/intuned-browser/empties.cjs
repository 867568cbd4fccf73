"use strict";
// filterEmptyValues: data without what is empty. Pure; the input is not changed.

/**
 * New plain objects and arrays without null, undefined, blank text, empty arrays and empty objects, also those that
 * became empty. Other values are neither entered nor removed, and the value at the top is never replaced by nothing.
 */
function filterEmptyValues({ data } = {}) {
  return filtered(data);
}

function filtered(value) {
  if (Array.isArray(value)) return value.map(filtered).filter((item) => !isEmpty(item));
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, item]) => [key, filtered(item)])
      .filter(([, item]) => !isEmpty(item)),
  );
}

function isEmpty(value) {
  if (value === null || value === undefined) return true;
  if (typeof value === "string") return value.trim() === "";
  if (Array.isArray(value)) return value.length === 0;
  return isPlainObject(value) && Object.keys(value).length === 0;
}

function isPlainObject(value) {
  if (value === null || typeof value !== "object") return false;
  const prototype = Object.getPrototypeOf(value);
  // Objects of another realm (a worker, a vm) have another Object.prototype, which again has no prototype.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

module.exports = { filterEmptyValues };
