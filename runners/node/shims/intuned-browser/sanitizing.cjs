"use strict";
// sanitizeHtml: HTML made smaller for reading. Pure. It is no protection against hostile HTML.

const DEFAULT_PRESERVED_ATTRIBUTES = ["class", "src"];
const DEFAULT_PRESERVED_EMPTY_TAGS = ["img"];
const VOID_ELEMENTS = new Set("area base br col embed hr img input link meta param source track wbr".split(" "));
// Elements whose text is not markup and is written as it is.
const RAW_TEXT_ELEMENTS = new Set(["script", "style"]);

/**
 * The HTML without what the flags name.
 *
 * `removeLongAttributes` removes every `style` attribute and those longer than `maxAttributeLength`, except
 * `preserveAttributes`. `removeEmptyTags` removes, in one pass in document order, elements without text and without
 * elements, except `preserveEmptyTags`.
 */
function sanitizeHtml({
  html,
  removeScripts = true,
  removeStyles = true,
  removeSvgs = true,
  removeComments = true,
  removeLongAttributes = true,
  maxAttributeLength = 500,
  preserveAttributes,
  removeEmptyTags = true,
  preserveEmptyTags,
  minifyWhitespace = true,
} = {}) {
  if (typeof html !== "string") throw new TypeError("sanitizeHtml: html must be a string");
  // Loaded here: only those pay for the parser who use it.
  const { parseDocument } = require("htmlparser2");
  const document = parseDocument(html);
  const dropped = new Set();
  if (removeScripts) dropped.add("script");
  if (removeStyles) dropped.add("style");
  if (removeSvgs) dropped.add("svg");
  remove(document, (node) => (isElement(node) ? dropped.has(node.name) : removeComments && node.type === "comment"));
  if (removeLongAttributes) {
    dropLongAttributes(document, maxAttributeLength, new Set(preserveAttributes ?? DEFAULT_PRESERVED_ATTRIBUTES));
  }
  if (removeEmptyTags) {
    const kept = new Set(preserveEmptyTags ?? DEFAULT_PRESERVED_EMPTY_TAGS);
    remove(document, (node) => isElement(node) && !kept.has(node.name) && isEmpty(node));
  }
  const text = writtenChildren(document);
  return minifyWhitespace ? text.replace(/(?<=>)(?:\r?\n)+(?=<)/g, "").replace(/\s+/g, " ") : text;
}

const isElement = (node) => node.name !== undefined && node.attribs !== undefined;

/** Remove the nodes that the test accepts, in document order; a removed node's children are not asked. */
function remove(parent, test) {
  parent.children = parent.children.filter((node) => {
    if (test(node)) return false;
    if (node.children) remove(node, test);
    return true;
  });
}

function isEmpty(element) {
  return !element.children.some(isElement) && textOf(element).trim() === "";
}

function textOf(node) {
  if (node.type === "text") return node.data;
  return node.children ? node.children.map(textOf).join("") : "";
}

function dropLongAttributes(parent, maxLength, preserved) {
  for (const node of parent.children) {
    if (!isElement(node)) continue;
    for (const [name, value] of Object.entries(node.attribs)) {
      if (!preserved.has(name) && (name === "style" || value.length > maxLength)) delete node.attribs[name];
    }
    dropLongAttributes(node, maxLength, preserved);
  }
}

function writtenChildren(node) {
  return node.children.map(written).join("");
}

function written(node) {
  if (isElement(node)) return writtenElement(node);
  switch (node.type) {
    case "comment":
      return `<!--${node.data}-->`;
    case "directive":
      return `<${node.data.replace(/^!doctype/i, "!DOCTYPE")}>`;
    case "text":
      return RAW_TEXT_ELEMENTS.has(node.parent?.name) ? node.data : escape(node.data);
    default:
      return writtenChildren(node);
  }
}

function writtenElement({ name, attribs, children }) {
  const attributes = Object.entries(attribs)
    .map(([attribute, value]) => ` ${attribute}="${escape(value).replaceAll('"', "&quot;")}"`)
    .join("");
  return VOID_ELEMENTS.has(name) ? `<${name}${attributes}/>` : `<${name}${attributes}>${writtenChildren({ children })}</${name}>`;
}

function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

module.exports = { sanitizeHtml };
