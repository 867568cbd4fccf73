// The import names: CommonJS, ES modules and the types name the same things.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);

for (const name of ["intuned-runtime/index", "intuned-browser/index", "intuned-browser/ai"]) {
  test(`${name} is the same however it is imported, and its types name all of it`, async () => {
    const file = new URL(`../shims/${name}`, import.meta.url);
    const common = Object.keys(require(`${file.pathname}.cjs`)).sort();
    const modules = Object.keys(await import(`${file.href}.mjs`)).filter((one) => one !== "default" && one !== "module.exports");
    const declared = readFileSync(`${file.pathname}.d.ts`, "utf8").matchAll(/^export declare (?:function|const|class) (\w+)/gm);
    assert.deepEqual(modules.sort(), common);
    assert.deepEqual([...new Set([...declared].map(([, one]) => one))].sort(), common);
  });
}
