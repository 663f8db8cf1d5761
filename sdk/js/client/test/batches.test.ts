import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { batches, body, encoded, halves } from "../src/batches.js";
import { UnsendableRecord } from "../src/errors.js";

async function all(records: Iterable<object>, size: number, largest?: number) {
  const found = [];
  for await (const batch of batches(records, size, largest)) found.push(batch);
  return found;
}

const rows = (count: number) => Array.from({ length: count }, (_, n) => ({ native_id: `s${n}` }));

test("order and count are kept", async () => {
  const found = await all(rows(10), 4);
  assert.deepEqual(
    found.map((batch) => [batch.first, batch.lines.length]),
    [
      [0, 4],
      [4, 4],
      [8, 2],
    ],
  );
  assert.deepEqual(
    found.flatMap((batch) => batch.lines.map((line) => JSON.parse(line))),
    rows(10),
  );
});

test("a batch stays below the bytes, counted as they are sent", async () => {
  const wide = Array.from({ length: 30 }, () => ({ a: "ü€" }));
  for (const batch of await all(wide, 50, 100)) {
    assert.ok(new TextEncoder().encode(batch.lines.join("\n")).length <= 100);
  }
});

test("one record larger than the limit goes alone", async () => {
  const found = await all([{ a: "x".repeat(300) }, { a: "y" }], 50, 200);
  assert.deepEqual(
    found.map((batch) => batch.lines.length),
    [1, 1],
  );
});

test("the body is gzip of lines, the same each time", async () => {
  const [batch] = await all(rows(5), 5);
  assert.ok(batch);
  const bytes = await body(batch);
  assert.equal(gunzipSync(bytes).toString(), batch.lines.join("\n"));
  assert.deepEqual(bytes, await body(batch));
});

test("halves keep their places", async () => {
  const [batch] = await all(rows(5), 5);
  assert.ok(batch);
  const [one, two] = halves(batch);
  assert.deepEqual([one.first, one.lines.length, two.first, two.lines.length], [0, 2, 2, 3]);
});

test("an async generator is taken too", async () => {
  async function* coming() {
    for (const row of rows(3)) yield row;
  }
  const found = [];
  for await (const batch of batches(coming(), 2)) found.push(batch.lines.length);
  assert.deepEqual(found, [2, 1]);
});

for (const size of [0, -1, 1.5, 10_001]) {
  test(`a batch of ${size} is refused`, async () => {
    await assert.rejects(all(rows(1), size), RangeError);
  });
}

test("dates are written in UTC", () => {
  assert.equal(encoded({ at: new Date(0) }, 0), '{"at":"1970-01-01T00:00:00.000Z"}');
});

for (const [what, value] of [
  ["NaN", Number.NaN],
  ["infinity", Infinity],
  ["an invalid Date", new Date("never")],
  ["a bigint", 10n],
] as const) {
  test(`${what} is refused with its place, not turned into null`, async () => {
    const sent = all([{ a: 1 }, { a: value }], 5);
    await assert.rejects(sent, (error) => error instanceof UnsendableRecord && error.index === 1);
  });
}

for (const value of [null, [1], "text", 3]) {
  test(`${JSON.stringify(value)} is no record`, () => {
    assert.throws(() => encoded(value as unknown as object, 0), UnsendableRecord);
  });
}
