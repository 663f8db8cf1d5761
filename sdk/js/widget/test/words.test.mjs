/** Numbers as their reader writes them, and nothing that an odd document could break. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { band, inUnit, moment, note, place, title } from "../src/words.js";

const spaces = (text) => text.replaceAll(/[\u00a0\u202f]/g, " ");

test("units in several languages", () => {
  assert.equal(inUnit(1234, "people", "en"), "1,234 people");
  assert.equal(inUnit(1234, "people", "de"), "1.234 people");
  assert.equal(spaces(inUnit(1234.5, "EUR", "de")), "1.234,50 €");
  assert.equal(inUnit(1234.5, "JPY", "en"), "¥1,235");
  assert.equal(inUnit(0.4567, "probability", "en"), "45.7%");
  assert.equal(inUnit(5, "parsecs", "en"), "5 parsecs");
});

test("a language that is none is the reader's own", () => {
  assert.match(inUnit(12, "people", "not a language"), /12 people/);
  assert.notEqual(moment("2026-03-16T12:00:00Z", "%%"), "");
  assert.equal(moment("never", "en"), "an unknown time");
});

test("an interval in words, its ends in order", () => {
  const interval = { level: 0.8, low: 820, high: 965 };
  assert.equal(spaces(band(interval, "people", "en")).replaceAll(" – ", "–"), "820–965 people, 80% likely");
  assert.equal(band({ ...interval, low: 965, high: 820 }, "people", "en"), band(interval, "people", "en"));
  assert.equal(band(null, "people", "en"), "");
});

test("where the value lies in its interval", () => {
  const interval = { level: 0.8, low: 800, high: 1000 };
  assert.equal(place(850, interval), 25);
  assert.equal(place(2000, interval), 100);
  assert.equal(place(0, interval), 0);
  for (const [value, given] of [[null, interval], [1, null], [1, { low: 5, high: 5 }], [1, { low: NaN, high: 5 }]]) {
    assert.equal(place(value, given), null);
  }
});

test("words for what there are words for", () => {
  assert.equal(title("attendance"), "Expected attendance");
  assert.equal(title("something new"), "something new");
  assert.equal(note("ready"), "");
  assert.notEqual(note("refused"), "");
});
