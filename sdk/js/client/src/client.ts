import { type Batch, batches, body, halves } from "./batches.js";
import { Problem } from "./errors.js";
import type { Contact, Event, Sale } from "./records.js";
import { type Kind, type Report, addReport, emptyReport } from "./report.js";
import { Session, type SessionOptions } from "./session.js";

/** A credential (`clientId` and `clientSecret`, or `apiKey`), and how patient to be. */
export type ClientOptions = SessionOptions;

/** Handed to `onProgress` after each batch. */
export interface Progress {
  records: number;
  batches: number;
  retries: number;
  report: Report;
}

export interface SendOptions {
  /** Where the records come from, as they will be listed; "direct" unless said. */
  platform?: string;
  /** Records a request, at most 10,000; 5,000 unless said. */
  batchSize?: number;
  /** Requests at once; no more batches are read from `records` than that. 1 unless said. */
  concurrency?: number;
  /** Awaited after each batch. */
  onProgress?: (progress: Progress) => void | Promise<void>;
}

interface Records {
  events: Event;
  contacts: Contact;
  sales: Sale;
}
type Many<T> = Iterable<T> | AsyncIterable<T>;

const KINDS: readonly string[] = ["events", "contacts", "sales"];

/** Speaks for one partner. */
export class Client {
  readonly #session: Session;

  constructor(baseUrl: string, options: ClientOptions) {
    this.#session = new Session(baseUrl, options);
  }

  /** Send any number of records; all that were good are stored when the promise is kept. */
  async send<K extends Kind>(kind: K, records: Many<Records[K]>, options: SendOptions = {}): Promise<Report> {
    if (!KINDS.includes(kind)) throw new RangeError(`kind ${kind} is not allowed; allowed: ${KINDS.join(", ")}`);
    const { platform = "direct", batchSize = 5_000, concurrency = 1, onProgress } = options;
    const total = emptyReport();
    const waiting: Promise<Report>[] = [];
    let count = 0;
    const landed = async (): Promise<void> => {
      addReport(total, await (waiting.shift() as Promise<Report>));
      count += 1;
      const records = total.accepted + total.unchanged + total.quarantined;
      await onProgress?.({ records, batches: count, retries: this.#session.retries, report: total });
    };
    try {
      for await (const batch of batches(records, batchSize)) {
        if (waiting.length >= concurrency) await landed();
        const sent = this.#land(kind, batch, platform);
        sent.catch(() => {}); // it is awaited in its turn, and must not count as unhandled until then
        waiting.push(sent);
      }
      while (waiting.length > 0) await landed();
    } finally {
      await Promise.allSettled(waiting); // a failure is thrown once, and nothing goes on behind it
    }
    return total;
  }

  /** One subject's insight, the document as published. */
  async insight(useCase: string, subjectId: string, options: { platform?: string } = {}): Promise<unknown> {
    const query = options.platform === undefined ? "" : `?platform=${encodeURIComponent(options.platform)}`;
    const path = `/v1/insights/${encodeURIComponent(useCase)}/${encodeURIComponent(subjectId)}${query}`;
    return (await this.#session.ask({ method: "GET", path })).json();
  }

  /** A page of the records that wait to be mended, with the field and the reason. */
  async quarantine(options: { kind?: string; cursor?: string } = {}): Promise<unknown> {
    const query = new URLSearchParams(Object.entries(options)).toString();
    return (await this.#session.ask({ method: "GET", path: `/v1/quarantine${query ? `?${query}` : ""}` })).json();
  }

  /** Try a record in quarantine again, as it was or mended. */
  async replay(quarantineId: number, mended?: object): Promise<unknown> {
    const path = `/v1/quarantine/${quarantineId}/replay`;
    const headers = { "Content-Type": "application/json" };
    const given = mended === undefined ? {} : { headers, body: JSON.stringify(mended) };
    return (await this.#session.ask({ method: "POST", path, ...given })).json();
  }

  async #land(kind: Kind, batch: Batch, platform: string): Promise<Report> {
    const headers = {
      "Content-Type": "application/x-ndjson",
      "Content-Encoding": "gzip",
      "Idempotency-Key": crypto.randomUUID(),
    };
    const path = `/v1/${kind}?platform=${encodeURIComponent(platform)}`;
    try {
      const answer = await this.#session.ask({ method: "POST", path, headers, body: await body(batch) });
      return reported(batch, (await answer.json()) as Landed);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 413 || batch.lines.length === 1) throw error;
    }
    const report = emptyReport();
    for (const half of halves(batch)) addReport(report, await this.#land(kind, half, platform));
    return report;
  }
}

interface Landed {
  accepted: number;
  unchanged: number;
  quarantined: number;
  errors: { line: number; field: string | null; value: string | null; reason: string }[];
}

function reported(batch: Batch, landed: Landed): Report {
  const { accepted, unchanged, quarantined } = landed;
  const rejected = landed.errors.map(({ line, field, value, reason }) => ({
    index: batch.first + line - 1,
    field,
    value,
    reason,
  }));
  return { accepted, unchanged, quarantined, rejected };
}
