// What leaves the process is checked and cut: frames, results, payloads, attributes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RunAttributes } from "../src/attributes.mjs";
import { InvalidOutput, toPlain } from "../src/output.mjs";
import { toFrames, toItems } from "../src/payloads.mjs";
import { FrameSplitter, FrameTooBig, MAX_FRAME_BYTES, ProtocolError, cutText, decode, encode } from "../src/protocol.mjs";

test("messages survive being cut anywhere", () => {
  const messages = [{ type: "a", text: "é😀" }, { type: "b" }, { type: "c", list: [1, null] }];
  const bytes = Buffer.concat(messages.map(encode));
  for (const step of [1, 2, 3, 7, bytes.length]) {
    const splitter = new FrameSplitter();
    const heard = [];
    for (let at = 0; at < bytes.length; at += step) {
      for (const body of splitter.push(bytes.subarray(at, at + step))) heard.push(decode(body));
    }
    assert.deepEqual(heard, messages);
  }
});

test("a frame over 16 MiB is refused in both directions, before its bytes are kept", () => {
  assert.throws(() => encode({ type: "x", text: "x".repeat(MAX_FRAME_BYTES) }), FrameTooBig);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(MAX_FRAME_BYTES + 1);
  assert.throws(() => [...new FrameSplitter().push(header)], ProtocolError);
});

test("what is not a message is refused", () => {
  for (const text of ["", "{", "[]", "null", '"x"', "{}", '{"type":1}', '{"type":"a","v":NaN}', '{"type":"a","v":"\\ud800"}']) {
    assert.throws(() => decode(Buffer.from(text)), ProtocolError, text);
  }
  assert.throws(() => decode(Buffer.from([0x7b, 0xff])), ProtocolError);
  assert.throws(() => encode({ type: "x", text: "\ud800" }), TypeError);
  assert.deepEqual(decode(encode({ type: "x", text: "\\ud800" }).subarray(4)).text, "\\ud800");
});

test("a text is cut at a whole character and loses lone surrogates", () => {
  assert.equal(cutText("ééé", 3), "é");
  assert.equal(cutText("a😀", 4), "a");
  assert.equal(cutText("a\ud800b", 100), "a\ufffdb");
});

test("a result becomes plain JSON as JSON.stringify would write it", () => {
  class Order {
    constructor() {
      this.id = 1;
      this.left = undefined;
    }
    total() {}
  }
  const table = [
    [undefined, null],
    [[undefined, 1], [null, 1]],
    [{ a: undefined, b: null }, { b: null }],
    [new Order(), { id: 1 }],
    [new Date(0), "1970-01-01T00:00:00.000Z"],
    [{ toJSON: () => ({ x: 1 }) }, { x: 1 }],
    [Object(5), 5],
    [JSON.parse('{"__proto__": 1}'), JSON.parse('{"__proto__": 1}')],
  ];
  for (const [given, plain] of table) assert.deepEqual(toPlain(given), plain);
});

test("what JSON cannot say is refused with the place", () => {
  const cycle = {};
  cycle.deep = [cycle];
  let deep = 1;
  for (let level = 0; level < 101; level += 1) deep = [deep];
  const table = [
    [NaN, /the result is NaN/],
    [{ a: [Infinity] }, /\["a"\]\[0\] is Infinity/],
    [{ f() {} }, /\["f"\] is a function/],
    [Symbol("x"), /symbol/],
    [1n, /bigint/],
    [new Map([[1, 2]]), /Map/],
    [new Set(), /Set/],
    [Promise.resolve(), /await/],
    [cycle, /contains itself/],
    [deep, /deeper than 100/],
    ["\udc00", /lone surrogate/],
    [{ "\ud800": 1 }, /a key of the result holds a lone surrogate/],
    [{ get x() { throw new Error("no"); } }, /could not be read/],
  ];
  for (const [given, said] of table) {
    assert.throws(() => toPlain(given), (error) => error instanceof InvalidOutput && said.test(error.message), String(said));
  }
  let bearable = 1;
  for (let level = 0; level < 100; level += 1) bearable = [bearable];
  assert.deepEqual(toPlain(bearable), bearable);
  const shared = { a: 1 };
  assert.deepEqual(toPlain([shared, shared]), [shared, shared]);
});

test("payloads are checked and sent in frames that fit", () => {
  for (const bad of [null, {}, { api: "x" }, { api: 1, parameters: {} }, { api: "x", parameters: [] }, { api: "x", parameters: { n: NaN } }]) {
    assert.throws(() => toItems([bad]), InvalidOutput, JSON.stringify(bad));
  }
  const items = toItems(Array.from({ length: 5 }, () => ({ api: "x", parameters: { text: "x".repeat(4 * 1024 * 1024) } })));
  const frames = [...toFrames("a", items)];
  assert.equal(frames.flatMap((frame) => frame.items).length, 5);
  for (const frame of frames) assert.ok(encode(frame).length <= MAX_FRAME_BYTES);
  assert.deepEqual([...toFrames("a", [])], []);
});

test("attributes keep their limits and change nothing when one is broken", () => {
  const attributes = new RunAttributes();
  assert.equal(attributes.toJSON(), undefined);
  attributes.set("count", 3);
  attributes.set("tags", ["a", "b"]);
  attributes.set("at", new Date(0));
  const before = attributes.toJSON();
  assert.deepEqual(before, { count: 3, tags: ["a", "b"], at: "1970-01-01T00:00:00.000Z" });
  const bad = [
    ["1a", 1], ["", 1], ["a".repeat(65), 1], ["a", NaN], ["a", null], ["a", { b: 1 }], ["a", "x".repeat(256)],
    ["a", Array(21).fill("x")], ["a", [1]], ["a", "\ud800"],
  ];
  for (const [key, value] of bad) assert.throws(() => attributes.set(key, value), undefined, key);
  assert.throws(() => attributes.delete("-"));
  attributes.delete("never");
  assert.deepEqual(attributes.toJSON(), before);
  for (let number = 0; number < 61; number += 1) attributes.set(`k${number}`, true);
  assert.throws(() => attributes.set("one_more", 1), /at most 64/);
});
