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
  const document = parseDocument(html, { recognizeCDATA: true });
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
  const text = written(document);
  return minifyWhitespace ? text.replace(/(?<=>)(?:\r?\n)+(?=<)/g, "").replace(/\s+/g, " ") : text;
}

const isElement = (node) => node.name !== undefined && node.attribs !== undefined;

// Pages nest without end where end tags are missing: every walk below keeps its own stack.

/** Every node that has children, parents first. Children may be changed while their parent is visited. */
function* parentsIn(document) {
  const left = [document];
  while (left.length > 0) {
    const node = left.pop();
    yield node;
    left.push(...node.children.filter((child) => child.children !== undefined).reverse());
  }
}

/** Remove the nodes that the test accepts; a removed node's children are not asked. */
function remove(document, test) {
  for (const parent of parentsIn(document)) parent.children = parent.children.filter((node) => !test(node));
}

function isEmpty(element) {
  return !element.children.some(isElement) && textOf(element).trim() === "";
}

/** The text directly in an element. */
function textOf({ children }) {
  return children.map((child) => (child.type === "text" ? child.data : "")).join("");
}

function dropLongAttributes(document, maxLength, preserved) {
  for (const { attribs } of parentsIn(document)) {
    for (const [name, value] of Object.entries(attribs ?? {})) {
      if (!preserved.has(name) && (name === "style" || value.length > maxLength)) delete attribs[name];
    }
  }
}

function written(document) {
  const pieces = [];
  // Nodes to write, and the end tags between them.
  const left = [...document.children].reverse();
  while (left.length > 0) {
    const node = left.pop();
    if (typeof node === "string") {
      pieces.push(node);
    } else if (isElement(node)) {
      const isVoid = VOID_ELEMENTS.has(node.name);
      pieces.push(`<${node.name}${writtenAttributes(node)}${isVoid ? "/" : ""}>`);
      if (!isVoid) left.push(`</${node.name}>`, ...[...node.children].reverse());
    } else {
      pieces.push(writtenLeaf(node));
    }
  }
  return pieces.join("");
}

function writtenLeaf(node) {
  switch (node.type) {
    case "comment":
      return `<!--${node.data}-->`;
    case "cdata":
      return `<![CDATA[${textOf(node)}]]>`;
    case "directive":
      return `<${node.data.replace(/^!doctype/i, "!DOCTYPE")}>`;
    default:
      return RAW_TEXT_ELEMENTS.has(node.parent?.name) ? node.data : escape(node.data);
  }
}

function writtenAttributes({ attribs }) {
  return Object.entries(attribs)
    .map(([name, value]) => ` ${name}="${escape(value).replaceAll('"', "&quot;")}"`)
    .join("");
}

function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

module.exports = { sanitizeHtml };
