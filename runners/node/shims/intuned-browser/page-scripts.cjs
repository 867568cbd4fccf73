"use strict";
// The scripts that helpers evaluate in pages; the Python runner evaluates the very same files.
//
// They lie in the folder named by KEYWRIGHT_SHARED, or beside this source tree.

const { readFileSync } = require("node:fs");
const path = require("node:path");

const functions = new Map();

/** One script, as the function that Playwright's `evaluate` takes. It is never called here. */
function pageScript(name) {
  let found = functions.get(name);
  if (found === undefined) {
    const folder = process.env.KEYWRIGHT_SHARED || path.resolve(__dirname, "../../../shared");
    const source = readFileSync(path.join(folder, `${name}.js`), "utf8");
    found = new Function(`return (\n${source}\n)`)();
    functions.set(name, found);
  }
  return found;
}

module.exports = { pageScript };
