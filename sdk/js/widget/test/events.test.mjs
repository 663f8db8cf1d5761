/** The parser of event streams, fed in every way that a network may cut it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Events } from "../src/events.js";

const STREAM = 'retry: 2000\n\n: here\n\nevent: insight\nid: 7\ndata: {"a":"ü"}\n\nevent: freshness\ndata: 1\ndata: 2\n\n';
const FOUND = [
  { name: "insight", data: '{"a":"ü"}' },
  { name: "freshness", data: "1\n2" },
];

for (const [name, text] of [["\\n", STREAM], ["\\r\\n", STREAM.replaceAll("\n", "\r\n")], ["\\r", STREAM.replaceAll("\n", "\r")]]) {
  test(`lines that end in ${name}, cut anywhere`, () => {
    for (let size = 1; size <= text.length; size++) {
      const events = new Events();
      const found = [];
      for (let at = 0; at < text.length; at += size) found.push(...events.take(text.slice(at, at + size)));
      found.push(...events.take("x")); // what waited for a second half
      assert.deepEqual(found, FOUND, `pieces of ${size}`);
      assert.equal(events.lastId, "7");
    }
  });
}

test("an id of its own moves the cursor, and one with a null does not", () => {
  const events = new Events();
  assert.deepEqual(events.take("id: 8\n\nid: 9\0\n\n"), []);
  assert.equal(events.lastId, "8");
});

test("a line without an end does not fill the memory", () => {
  const events = new Events();
  assert.throws(() => {
    for (;;) events.take("x".repeat(1 << 20));
  }, RangeError);
});

test("fields without a value, unknown fields, an event without a name", () => {
  assert.deepEqual(new Events().take("data\nsomething: else\n\n"), [{ name: "message", data: "" }]);
});
