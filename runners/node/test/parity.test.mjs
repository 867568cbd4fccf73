// The same project in TypeScript and in Python, the same attempts in both runners: what a worker can observe is the same.
//
// Differences that belong to the languages are in the table, in the row they belong to; anything else is a defect.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { RunnerUnderTest, Suite, bundled, project, site } from "./worker.mjs";

const CONTEXT = { runId: "r", jobId: "j", jobRunId: "jr", authSessionId: "s", attemptNumber: 2, apiName: "x", workspaceId: "w", projectName: "p" };
const ATTRIBUTES = {
  "api/attributes.ts": [
    'import { deleteAttribute, setAttribute } from "@intuned/runtime";',
    'export default async ({ fails }: any) => { setAttribute("a", 1); setAttribute("b", ["x"]); setAttribute("c", true); deleteAttribute("c"); if (fails) throw new Error("no"); };',
  ].join("\n"),
  "api/attributes.py": [
    "from intuned_runtime import delete_attribute, set_attribute",
    "async def automation(page, params=None, **_):",
    '    set_attribute("a", 1); set_attribute("b", ["x"]); set_attribute("c", True); delete_attribute("c")',
    '    if params["fails"]: raise Exception("no")',
  ].join("\n"),
};

/** What each language says in its own words, per row: `python` is what Python gives where `node` is what Node gives. */
const WORDS = {
  "an unknown name": { python: "there is no api/nope.py in the project", node: "there is no api/nope in the project" },
  "a name that leaves the project": quoted((quote) => `${quote}api/../../secrets${quote} is not the name of a function`),
  "a result with nan": quoted((quote, own) => `the result[${quote}value${quote}] is ${own("nan", "NaN")}, which is not JSON`),
  "a result with infinity": quoted((quote, own) => `the result[${quote}value${quote}][${quote}deep${quote}][0] is ${own("inf", "Infinity")}, which is not JSON`),
  "a result with cycle": quoted((quote) => `the result[${quote}value${quote}][${quote}self${quote}] contains itself`),
  "a result with surrogate": quoted((quote) => `the result[${quote}value${quote}] holds a lone surrogate, which is not JSON`),
  "a result with function": quoted((quote, own) => `the result[${quote}value${quote}][${quote}call${quote}] is ${own("of type function", "a function")}, which is not JSON`),
  "a bad key": {
    python: "a key of persistent_store has no ':' and no '#': 'a:b'",
    node: "a key of persistentStore must have at least one character and no `:` or `#`",
  },
};
/** What a language prints in its own form, whatever the row. */
const PRINTED = new Map([
  ["by log {'answer': 42}", "by log { answer: 42 }"],
  ["unruly: by warn", "by warn"],
  ["unruly: by error", "by error"],
  ['json {"secret": "left-right"}', 'json {"secret":"left-right"}'],
]);

function quoted(sentence) {
  return { python: sentence("'", (python) => python), node: sentence('"', (python, node) => node) };
}

/** `[what, api, parameters, fields of start]` */
const ROWS = [
  ...[null, 0, -1.5, 1e21, 2 ** 53, "é😀", [1, [2]], { deep: { er: true } }, { "": null }].map((value) => [`echo of ${JSON.stringify(value)}`, "api/echo", { value }]),
  ["nothing", "api/nothing", {}],
  ["a nested, dashed name", "api/nested/deep-er/dashed-name", { value: 3 }],
  ["an unknown name", "api/nope", {}],
  ["a name that leaves the project", "api/../../secrets", {}],
  ["a throw", "api/throws", { message: "on purpose" }],
  ["a throw after a visit", "api/throws", { message: "é\nsecond line", visit: "SITE/" }],
  ["a throw that must not be repeated", "api/non-retryable", { message: "never" }],
  ...["nan", "infinity", "cycle", "surrogate", "function"].map((kind) => [`a result with ${kind}`, "api/bad-result", { kind }]),
  ["a result that is too big", "api/big-result", {}],
  ["a result of exactly too many bytes", "api/echo", { value: "é".repeat(50) }, { maxResultBytes: 100 }],
  ["everything that can be printed", "api/prints-kinds", {}],
  ["a line in halves", "api/prints-secret", { secret: "left-right" }],
  ["many lines", "api/prints-much", { lines: 50 }],
  ["payloads", "api/extends-payload", {}],
  ["payloads of a failure", "api/extends-payload", { fails: true }],
  ["more time", "api/extends-timeout", { seconds: 0.001 }],
  ["stores, first", "api/stores", { key: "k", value: ["kept"] }],
  ["stores, again", "api/stores", { key: "k", value: { other: null } }],
  ["a bad key", "api/bad-key", {}],
  ["what the hook saw", "api/hook-seen", { x: 1 }],
  ["a hook that throws", "api/echo", { hookThrows: true }],
  ["who the run is", "api/context-info", {}, { context: CONTEXT }],
  ["who the run is, without ids", "api/context-info", {}, { context: { runId: "r", jobId: null, attemptNumber: 1 } }],
  ["what the page sees", "api/what-the-page-sees", { visit: "SITE/" }],
  ["what the page sees elsewhere", "api/what-the-page-sees", { visit: "SITE/" }, { viewport: { width: 640, height: 480 }, locale: "de-DE", timezone: "Asia/Tokyo" }],
  ["leftovers, first", "api/leftovers", { visit: "SITE/" }],
  ["leftovers, again", "api/leftovers", { visit: "SITE/" }],
  ["attributes", "api/attributes", { fails: false }],
  ["attributes of a failure", "api/attributes", { fails: true }],
];

/** A result with what belongs to one browser named instead of told. */
function own(result, { ready }) {
  return result?.cdpUrl === ready.cdpUrl ? { ...result, cdpUrl: "the browser's" } : result;
}

describe("both runners", () => {
  const suite = new Suite();
  after(() => suite.end());
  const runners = {};
  let shop;
  before(async () => {
    shop = await site(suite);
    for (const [language, short] of [["node", "ts"], ["python", "py"]]) {
      const files = Object.fromEntries(Object.entries(ATTRIBUTES).filter(([name]) => name.endsWith(short)));
      const root = project(suite, `unruly-${short}`, files);
      runners[language] = await RunnerUnderTest.bound(suite, short === "ts" ? bundled(suite, root) : root, { language });
    }
  });

  const observe = async (language, [, name, parameters, more]) => {
    const given = JSON.parse(JSON.stringify(parameters).replaceAll("SITE", shop.url));
    const { done, idle, logs, payloads, extensions, calls } = await runners[language].run(name, given, more);
    // Classes and stacks are the language's own.
    const { name: kind, stack, ...error } = done.error ?? {};
    assert.equal(typeof kind === "string" && typeof stack === "string", error.code === "user-error", JSON.stringify(done.error));
    return {
      done: { ok: done.ok, result: own(done.result, runners[language]), session: done.session, attributes: done.attributes, error },
      idle: { reusable: idle.reusable, reason: idle.reason },
      // Python has no console: print goes to stdout, logging to stderr.
      logs: logs.map(({ stream, level, message }) => [
        stream === "console" ? (level === "info" ? "stdout" : "stderr") : stream, level, PRINTED.get(message) ?? message,
      ]),
      payloads: payloads.map(({ items }) => items),
      extensions: extensions.length,
      calls: calls.map(({ method, params }) => [method, params]),
    };
  };

  for (const row of ROWS) {
    test(row[0], async () => {
      const [node, python] = [await observe("node", row), await observe("python", row)];
      const words = WORDS[row[0]];
      if (words !== undefined) {
        assert.deepEqual({ python: python.done.error.message, node: node.done.error.message }, words);
        python.done.error.message = node.done.error.message;
      }
      assert.deepEqual(python, node);
    });
  }
});
