"use strict";
// validateDataUsingSchema: data against a JSON Schema (draft 7) with the additional type `attachment`.
//
// Nothing is changed in the caller's data. `format` is not enforced.

// How far `$ref`s are followed when looking for what a schema says about a property.
const MAX_REFERENCES = 50;

const NULLABLE_TEXT = { type: ["string", "null"] };
const ATTACHMENT = {
  type: "object",
  required: ["fileName", "key", "suggestedFileName"],
  properties: {
    fileName: { type: "string" },
    key: { type: "string" },
    suggestedFileName: { type: "string" },
    fileType: { enum: ["document"] },
    bucket: NULLABLE_TEXT,
    region: NULLABLE_TEXT,
    endpoint: NULLABLE_TEXT,
  },
};

/** The data does not fit the schema. `data` is the data as plain records. */
class ValidationError extends Error {
  constructor(message, data) {
    super(message);
    this.name = "ValidationError";
    this.data = data;
  }
}

/**
 * Throw ValidationError, with one line for each problem, when the data does not fit.
 *
 * null and undefined count as absent for properties that are not required, and are dropped from arrays. A type the
 * validator does not know throws the validator's own error.
 */
function validateDataUsingSchema({ data, schema } = {}) {
  // Loaded here: only those pay for the validator who use it.
  const Ajv = require("ajv");
  const asRecords = plain(data);
  const expanded = withAttachments(schema);
  // A schema that names a newer draft is still read as draft 7.
  if (expanded !== null && typeof expanded === "object") delete expanded.$schema;
  const validate = new Ajv({ allErrors: true, strict: false, validateFormats: false, logger: false }).compile(expanded);
  if (validate(withoutAbsent(asRecords, [expanded], expanded))) return;
  const lines = validate.errors.map(
    ({ instancePath, message, params }) => `${pathOf(instancePath) || "root"}: ${message}${detailOf(params)}`,
  );
  const count = `${lines.length} problem${lines.length === 1 ? "" : "s"}`;
  throw new ValidationError([`the data does not fit the schema, ${count}:`, ...lines].join("\n"), asRecords);
}

function pathOf(pointer) {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .join(".");
}

/** What the validator's sentence leaves out. */
function detailOf({ additionalProperty, allowedValues } = {}) {
  if (additionalProperty !== undefined) return `: ${additionalProperty}`;
  return allowedValues === undefined ? "" : `: ${allowedValues.join(", ")}`;
}

/** Objects that know their JSON form, in it. */
function plain(value) {
  if (value === null || typeof value !== "object") return value;
  if (typeof value.toJSON === "function") return plain(value.toJSON());
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

const isAttachment = (kind) => typeof kind === "string" && kind.toLowerCase() === "attachment";

/** The schema with the type `attachment`, in any case and anywhere, replaced by what it stands for. */
function withAttachments(schema) {
  if (Array.isArray(schema)) return schema.map(withAttachments);
  if (schema === null || typeof schema !== "object") return schema;
  const { type: kind, ...others } = schema;
  const rest = Object.fromEntries(Object.entries(others).map(([key, value]) => [key, withAttachments(value)]));
  if (isAttachment(kind)) return { ...rest, allOf: [...(rest.allOf ?? []), ATTACHMENT] };
  if (Array.isArray(kind) && kind.some(isAttachment)) {
    const left = kind.filter((name) => !isAttachment(name));
    const choice = { oneOf: left.length > 0 ? [ATTACHMENT, { type: left }] : [ATTACHMENT] };
    return { ...rest, allOf: [...(rest.allOf ?? []), choice] };
  }
  // A property may well be called "type"; then its value is a schema.
  return "type" in schema ? { ...rest, type: withAttachments(kind) } : rest;
}

/** The data without null and undefined where the schemas that apply to it do not require a value. */
function withoutAbsent(value, schemas, root) {
  if (value === null || typeof value !== "object") return value;
  const facets = facetsOf(schemas, root);
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => {
      return item === null || item === undefined ? [] : [withoutAbsent(item, itemSchemas(facets, index), root)];
    });
  }
  const required = new Set(facets.flatMap((facet) => facet.required ?? []));
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => item !== undefined && (item !== null || required.has(key)))
      .map(([key, item]) => [key, withoutAbsent(item, propertySchemas(facets, key), root)]),
  );
}

/** Each schema, what it refers to, and the branches it combines. */
function facetsOf(schemas, root) {
  const facets = [];
  const left = [...schemas];
  let followed = 0;
  while (left.length > 0) {
    const schema = left.pop();
    if (schema === null || typeof schema !== "object") continue;
    facets.push(schema);
    for (const keyword of ["allOf", "anyOf", "oneOf"]) left.push(...(schema[keyword] ?? []));
    if (typeof schema.$ref === "string" && followed < MAX_REFERENCES) {
      followed += 1;
      left.push(targetOf(schema.$ref, root));
    }
  }
  return facets;
}

/** What a reference inside the schema points at; undefined for any other, which the validator reports. */
function targetOf(reference, root) {
  if (!reference.startsWith("#")) return undefined;
  return reference
    .slice(1)
    .split("/")
    .slice(1)
    .reduce((found, part) => found?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
}

function propertySchemas(facets, key) {
  return facets.map(({ properties, additionalProperties }) => {
    return properties && Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
  });
}

function itemSchemas(facets, index) {
  return facets.map(({ items, additionalItems }) => {
    if (!Array.isArray(items)) return items;
    return index < items.length ? items[index] : additionalItems;
  });
}

module.exports = { ValidationError, validateDataUsingSchema };
