// A receiver of the Integrator's webhooks: node receiver.mjs, with WEBHOOK_SECRET and PORT in the environment.
// It verifies before it reads, answers at once, keeps a message once, and never goes back to an older version.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const MOST_BYTES = 20_000;
const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const seen = new Set(); // a table with a unique key in a real host
const versions = new Map(); // insight id → { version, data }

function take(headers, body) {
  const event = webhook.verify(body, headers); // throws on a bad signature or one older than five minutes
  const id = headers["webhook-id"];
  if (seen.has(id)) return;
  seen.add(id);
  if (event.type !== "insight.updated" && event.type !== "insight.withdrawn") return;
  const { id: insight, insight_version: version } = event.data;
  if (version > (versions.get(insight)?.version ?? 0)) versions.set(insight, { version, data: event.data });
}

const server = createServer((request, response) => {
  if (request.method === "GET") {
    response.end(JSON.stringify({ messages: seen.size, insights: [...versions.values()] }));
    return;
  }
  const parts = [];
  let size = 0;
  request.on("data", (part) => {
    size += part.length;
    if (size <= MOST_BYTES) parts.push(part);
  });
  request.on("end", () => {
    try {
      if (size > MOST_BYTES) throw new Error("too large");
      take(request.headers, Buffer.concat(parts).toString("utf8"));
      response.writeHead(204).end();
    } catch {
      response.writeHead(401).end();
    }
  });
});

server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => console.log(server.address().port));
