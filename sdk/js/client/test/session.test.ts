/** Against a server on loopback that answers what the test has written down. */
import assert from "node:assert/strict";
import { type IncomingMessage, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { AuthenticationError, Client, Problem, Unreachable } from "../src/index.js";

interface Scripted {
  status: number;
  body?: object;
  headers?: Record<string, string>;
  drop?: boolean;
}

let server: Server;
let url: string;
let script: Scripted[] = [];
let asked: { request: IncomingMessage; body: Buffer }[] = [];
const granted: Scripted = { status: 200, body: { access_token: "t1", expires_in: 600 } };
const landed: Scripted = { status: 200, body: { accepted: 1, unchanged: 0, quarantined: 0, errors: [] } };

before(async () => {
  server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    asked.push({ request, body: Buffer.concat(parts) });
    const next = script.shift() ?? { status: 599 };
    if (next.drop) return void request.socket.destroy();
    response.writeHead(next.status, { "Content-Type": "application/json", ...next.headers });
    response.end(JSON.stringify(next.body ?? {}));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());
beforeEach(() => {
  script = [];
  asked = [];
});

const client = (more: object = {}) =>
  new Client(url, { clientId: "icl_1", clientSecret: "s:e", backoffMs: 1, ...more });
const sale = {
  native_id: "s1",
  product: "p",
  sold_at: "2026-03-01T12:00:00Z",
  quantity: 1,
  unit_price: "1.00",
  currency: "EUR",
  status: "paid",
} as const;
const paths = () => asked.map(({ request }) => request.url);

test("a token is fetched once and kept", async () => {
  script = [granted, landed, landed];
  const ours = client();
  await ours.send("sales", [sale]);
  await ours.send("sales", [sale]);
  assert.deepEqual(paths(), ["/oauth/token", "/v1/sales?platform=direct", "/v1/sales?platform=direct"]);
  assert.equal(asked[0]?.request.headers.authorization, `Basic ${btoa("icl_1:s%3Ae")}`);
  assert.equal(asked[1]?.request.headers.authorization, "Bearer t1");
});

test("requests at once fetch one token", async () => {
  script = [granted, landed, landed, landed];
  await client().send("sales", [sale, sale, sale], { batchSize: 1, concurrency: 3 });
  assert.equal(paths().filter((path) => path === "/oauth/token").length, 1);
});

test("retries carry the same key and body, and wait as long as they are told", async () => {
  script = [granted, { status: 429, headers: { "retry-after": "0.05" } }, { status: 0, drop: true }, landed];
  const started = performance.now();
  await client().send("sales", [sale]);
  assert.ok(performance.now() - started >= 45);
  const posts = asked.filter(({ request }) => request.url?.startsWith("/v1/"));
  assert.equal(posts.length, 3);
  assert.equal(new Set(posts.map(({ request }) => request.headers["idempotency-key"])).size, 1);
  assert.equal(new Set(posts.map(({ body }) => body.toString("hex"))).size, 1);
});

test("a revoked token is renewed, once", async () => {
  const refused = { status: 401, body: { title: "Unauthorized", detail: "the access token was revoked" } };
  script = [granted, refused, granted, refused];
  await assert.rejects(client().send("sales", [sale]), AuthenticationError);
  assert.equal(asked.length, 4);
});

test("it gives up, and says what it got", async () => {
  script = [granted, { status: 503 }, { status: 503 }];
  const sent = client({ attempts: 2 }).send("sales", [sale]);
  await assert.rejects(sent, (error) => error instanceof Unreachable && error.message.includes("503 after 2 attempts"));
});

test("a refusal is not tried again", async () => {
  script = [granted, { status: 422, body: { type: "urn:x", title: "Invalid input", detail: "no" } }];
  await assert.rejects(
    client().send("sales", [sale]),
    (error) => error instanceof Problem && error.status === 422 && error.detail === "no" && error.type === "urn:x",
  );
  assert.equal(asked.length, 2);
});

test("too large goes in halves and counts from the right place", async () => {
  const errors = [{ line: 1, field: "quantity", value: "-1", reason: "negative" }];
  script = [
    granted,
    { status: 413 },
    landed,
    { status: 200, body: { accepted: 0, unchanged: 0, quarantined: 1, errors } },
  ];
  const report = await client().send("sales", [sale, sale]);
  assert.deepEqual(
    report.rejected.map((one) => one.index),
    [1],
  );
});

test("a redirect is not followed: it could carry the credential elsewhere", async () => {
  script = [granted, { status: 302, headers: { location: "http://127.0.0.1:9/" } }];
  await assert.rejects(client({ attempts: 1 }).send("sales", [sale]), Unreachable);
});

test("a failure among several at once is thrown once", async () => {
  script = [granted, landed, { status: 422 }, landed, landed];
  await assert.rejects(client().send("sales", [sale, sale, sale, sale], { batchSize: 1, concurrency: 4 }), Problem);
});

test("an api key is sent as it is", async () => {
  script = [landed];
  await new Client(url, { apiKey: "iak_secret" }).send("sales", [sale]);
  assert.equal(asked[0]?.request.headers.authorization, "Bearer iak_secret");
});

for (const given of [{}, { clientId: "a" }, { clientId: "a", clientSecret: "b", apiKey: "c" }]) {
  test(`one credential is needed, not ${JSON.stringify(Object.keys(given))}`, () => {
    assert.throws(() => new Client(url, given), TypeError);
  });
}

for (const address of ["", "localhost:8080", "ftp://example.org", "https://"]) {
  test(`"${address}" is refused at once`, () => {
    assert.throws(() => new Client(address, { apiKey: "iak_secret" }), TypeError);
  });
}
