// Lines of user code as they are cut: the worker looks for secrets in whole lines, so no part of a cut line may follow it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AttemptLog } from "../src/console.mjs";

const LINE_BYTES = 64 * 1024;

function said(...texts) {
  const lines = [];
  const log = new AttemptLog({ send: (message) => lines.push(message.message) }, "a");
  for (const text of texts) log.text("stdout", "info", text);
  log.close();
  return lines;
}

test("what was cut off a line does not come as another line", () => {
  const long = "x".repeat(LINE_BYTES - 3);
  assert.deepEqual(said(`${long}love`, "lace", "-1815\nnext\n"), [`${long}lov`, "next"]);
  assert.deepEqual(said(`${long}lovelace`, "-1815"), [`${long}lov`]);
});

test("a line in parts is one line", () => {
  assert.deepEqual(said("love", "lace\r\n", "and more"), ["lovelace", "and more"]);
});
