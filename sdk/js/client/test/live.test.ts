/** Against the running service; its address and a client come from the environment. Without them this fails, on purpose. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AuthenticationError, Client, type Progress, type Sale } from "../src/index.js";

function given(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: \`make test-sdk\` starts the service and sets it`);
  return value;
}

const login = () => ({ clientId: given("TEST_CLIENT_ID"), clientSecret: given("TEST_CLIENT_SECRET") });
const client = () => new Client(given("TEST_URL"), login());

const sale = (id: string, more: Partial<Sale> = {}): Sale => ({
  native_id: id,
  product: "standard",
  sold_at: new Date("2026-03-01T12:00:00Z"),
  quantity: 2,
  unit_price: "19.90",
  currency: "EUR",
  status: "paid",
  ...more,
});

function* sales(prefix: string, count: number): Generator<Sale> {
  for (let n = 0; n < count; n++) yield sale(`${prefix}${n}`);
}

test("records land, and landing again changes nothing", async () => {
  const first = await client().send("sales", sales("js-a", 250), { batchSize: 100 });
  assert.deepEqual([first.accepted, first.unchanged, first.quarantined], [250, 0, 0]);
  const again = await client().send("sales", sales("js-a", 250));
  assert.deepEqual([again.accepted, again.unchanged], [0, 250]);
});

test("bad records name their place over all batches", async () => {
  const rows = [...sales("js-b", 25)];
  rows[17] = sale("js-b17", { quantity: -1 });
  const report = await client().send("sales", rows, { batchSize: 10 });
  assert.equal(report.accepted, 24);
  assert.deepEqual(
    report.rejected.map(({ index, field }) => [index, field]),
    [[17, "quantity"]],
  );
});

test("several at once, with progress", async () => {
  const seen: Progress[] = [];
  const onProgress = (progress: Progress) => void seen.push({ ...progress });
  const report = await client().send("sales", sales("js-c", 600), { batchSize: 100, concurrency: 3, onProgress });
  assert.equal(report.accepted, 600);
  assert.deepEqual(
    seen.map((progress) => progress.records),
    [100, 200, 300, 400, 500, 600],
  );
});

test("events and contacts go too", async () => {
  const event = { native_id: "js-gala", starts_at: "2026-05-01T18:00:00Z", timezone: "Europe/Berlin" };
  const contact = { native_id: "js-p1", created_at: "2026-01-01T00:00:00Z", email: "ada@example.org" };
  assert.equal((await client().send("events", [{ ...event, status: "scheduled" }])).accepted, 1);
  assert.equal((await client().send("contacts", [contact])).accepted, 1);
});

test("a record is mended", async () => {
  await client().send("sales", [sale("js-d", { currency: "EURO" })]);
  const page = (await client().quarantine({ kind: "sale" })) as {
    quarantine: { quarantine_id: number; native_id: string }[];
  };
  const waiting = page.quarantine.find((one) => one.native_id === "js-d");
  assert.ok(waiting);
  await client().replay(waiting.quarantine_id, sale("js-d"));
  assert.equal((await client().send("sales", [sale("js-d")])).unchanged, 1);
});

test("a wrong secret is said at once", async () => {
  const stranger = new Client(given("TEST_URL"), { ...login(), clientSecret: "wrong" });
  await assert.rejects(stranger.send("sales", [sale("js-e")]), AuthenticationError);
});

test("what is not there is 404", async () => {
  await assert.rejects(client().insight("attendance", "nobody/at all"), /404/);
});
