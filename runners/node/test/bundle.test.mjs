// Bundling at deploy, and the deploy check of what was bundled.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { RunnerUnderTest, bundle, bundled, project, projectOf } from "./worker.mjs";

async function inspect(t, root, apis, authSessions = false) {
  const runner = await RunnerUnderTest.start(t);
  await runner.heard("hello");
  runner.send({ type: "inspect", root, apis, authSessions });
  const { problems, warnings } = await runner.heard("inspected");
  assert.deepEqual(await runner.exited, { code: 0, signal: null });
  return { problems, warnings };
}

test("the shop's entries are bundled, nested ones included", (t) => {
  const root = project(t, "shop-ts");
  assert.deepEqual(bundle(root), {
    entries: ["api/orders", "api/orders/details", "auth-sessions/check", "auth-sessions/create"],
    problems: [],
  });
  for (const name of ["api/orders.cjs", "api/orders/details.cjs", "auth-sessions/create.cjs", "auth-sessions/create.cjs.map"]) {
    assert.ok(existsSync(path.join(root, ".keywright/build", name)), name);
  }
});

test("a syntax error and a missing module are told with file and line, and nothing is written", (t) => {
  for (const [name, line, said] of [["broken-ts-syntax", 3, /Unexpected/], ["broken-ts-import", 1, /helpers\/nowhere/]]) {
    const root = project(t, name);
    const { entries, problems } = bundle(root);
    assert.deepEqual(entries, []);
    assert.equal(problems.length, 1);
    assert.deepEqual([problems[0].file, problems[0].line], ["api/broken.ts", line]);
    assert.match(problems[0].message, said);
    assert.ok(!existsSync(path.join(root, ".keywright/build")));
  }
});

test("a package that is not installed is a problem of its import statement", (t) => {
  const root = projectOf(t, {
    "api/a.ts": 'import type { Page } from "nowhere-types";\nimport { x } from "@some/where/deep";\nexport default async () => x;',
    "api/b.ts": 'export default async () => { try { require("optional-thing"); } catch {} return 1; };',
  });
  assert.deepEqual(bundle(root).problems, [
    { file: "api/a.ts", line: 2, message: 'Could not resolve "@some/where/deep": the package @some/where is not installed' },
  ]);
});

test("two files of one name are refused", (t) => {
  const root = projectOf(t, { "api/a.ts": "export default async () => 1", "api/a.js": "module.exports = async () => 1" });
  assert.deepEqual(bundle(root).problems, [{ file: "api/a.ts", line: null, message: "api/a.js has the same name" }]);
});

test("what loads badly is found by the deploy check, with the line of the source", async (t) => {
  const root = bundled(t, "broken-ts-load");
  const { problems } = await inspect(t, root, ["broken"]);
  assert.equal(problems.length, 1);
  assert.deepEqual([problems[0].file, problems[0].line], ["api/broken.ts", 2]);
  assert.match(problems[0].message, /^SyntaxError: /);
});

test("no default export, one that is no function, and a missing API are problems", async (t) => {
  const root = bundled(t, {
    "api/none.ts": "export async function automation() {}",
    "api/text.ts": 'export default "text"',
    "api/generator.ts": "export default async function* () { yield 1 }",
    "api/fine.ts": "export default async () => 1",
    "auth-sessions/check.ts": "export default async (params: any, page: any, context: any) => true",
    "hooks/setupContext.ts": "export const hook = 1",
  });
  const { problems, warnings } = await inspect(t, root, ["none", "api/text", "generator", "fine", "gone"], true);
  assert.deepEqual(problems.map(({ file, message }) => [file, message]), [
    ["api/none.ts", "api/none has no default export"],
    ["api/text.ts", "api/text has a default export that is not a function"],
    ["api/generator.ts", "api/generator is a generator; a function that returns a promise is needed"],
    ["api/gone.ts", "there is no api/gone in the project"],
    ["auth-sessions/create.ts", "there is no auth-sessions/create in the project"],
    ["hooks/setupContext.ts", "hooks/setupContext has no default export"],
  ]);
  assert.deepEqual(warnings.map(({ file }) => file), ["auth-sessions/check.ts"]);
});

test("a sound project passes the deploy check", async (t) => {
  const root = bundled(t, "shop-ts");
  assert.deepEqual(await inspect(t, root, ["orders", "orders/details"], true), { problems: [], warnings: [] });
});

const IMPORTS = {
  "tsconfig.json": '{ "compilerOptions": { "baseUrl": ".", "paths": { "~/*": ["./lib/*"] } } } // comments are fine',
  "lib/one.ts": "export const one = 1;",
  "lib/two.ts": "export const two = 2;",
  "lib/data.json": '{ "three": 3 }',
  "lib/beside.txt": "four",
  "lib/beside.ts": 'import { readFileSync } from "node:fs";\nimport path from "node:path";\nexport const beside = () => readFileSync(path.join(HERE, "beside.txt"), "utf8");',
  "api/deep/all.ts": [
    'import { one } from "~/one";',
    'import { two } from "../../lib/two.js";',
    'import data from "../../lib/data.json";',
    'import { beside } from "../../lib/beside";',
    'import { chromium, errors } from "playwright";',
    'import { attemptStore } from "@intuned/runtime";',
    'import installed from "installed";',
    "export default async function all(params: unknown, page: any) {",
    '  const again = await import("@intuned/runtime");',
    "  const timeout = await page.waitForFunction(() => false, null, { timeout: 1 }).catch((error: unknown) => error);",
    "  return [one, two, data.three, beside(), installed, again.attemptStore === attemptStore, typeof chromium.launch, timeout instanceof errors.TimeoutError];",
    "}",
  ].join("\n"),
};
const RESULT = [1, 2, 3, "four", "installed", true, "function", true];

for (const [kind, files] of [
  ["CommonJS", { "package.json": "{}", "lib/beside.ts": IMPORTS["lib/beside.ts"].replace("HERE", "__dirname") }],
  ["ES module", {
    "package.json": '{ "type": "module" }',
    "lib/beside.ts": IMPORTS["lib/beside.ts"].replace("HERE", 'path.dirname(new URL(import.meta.url).pathname)'),
  }],
]) {
  test(`a ${kind} project imports by path, alias, extension and package, and has one instance of the runtime and Playwright`, async (t) => {
    const root = projectOf(t, { ...IMPORTS, ...files });
    mkdirSync(path.join(root, "node_modules/installed"), { recursive: true });
    writeFileSync(path.join(root, "node_modules/installed/package.json"), '{ "name": "installed", "main": "index.js" }');
    writeFileSync(path.join(root, "node_modules/installed/index.js"), 'module.exports = "installed";');
    assert.deepEqual(bundle(root), { entries: ["api/deep/all"], problems: [] });
    const end = kind === "CommonJS" ? "cjs" : "mjs";
    assert.match(readFileSync(path.join(root, `.keywright/build/api/deep/all.${end}`), "utf8"), /installed/);
    const runner = await RunnerUnderTest.bound(t, root);
    const { done } = await runner.run("api/deep/all", {});
    assert.deepEqual(done.result, RESULT, JSON.stringify(done.error));
  });
}

test("every way to export a function is understood", async (t) => {
  const root = bundled(t, {
    "api/cjs.js": "module.exports = async () => 'module.exports'",
    "api/named.cjs": "exports.default = async () => 'exports.default'",
    "api/esm.mjs": "const late = await Promise.resolve('top-level await');\nexport default async () => late",
    "api/typed.mts": "const value: string = 'mts';\nexport default async () => value",
    "api/sync.ts": "export default () => 'sync'",
  });
  const runner = await RunnerUnderTest.bound(t, root);
  const results = {};
  for (const name of ["cjs", "named", "esm", "typed", "sync"]) results[name] = (await runner.run(`api/${name}`, {})).done.result;
  assert.deepEqual(results, { cjs: "module.exports", named: "exports.default", esm: "top-level await", typed: "mts", sync: "sync" });
});
