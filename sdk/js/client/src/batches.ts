/** Cutting any number of records into bodies: NDJSON, gzip, within the service's limits. Lazy, so a generator stays one. */
import { UnsendableRecord } from "./errors.js";

export const MOST_RECORDS = 10_000;
const MOST_BYTES = 8 * 1024 * 1024; // half of what the service takes, before compression

export interface Batch {
  first: number;
  lines: string[];
}

export async function* batches(
  records: Iterable<object> | AsyncIterable<object>,
  size: number,
  largest: number = MOST_BYTES,
): AsyncGenerator<Batch> {
  if (!Number.isInteger(size) || size < 1 || size > MOST_RECORDS) {
    throw new RangeError(`batchSize ${size} is not allowed; allowed: 1 to ${MOST_RECORDS}`);
  }
  const encoder = new TextEncoder();
  let lines: string[] = [];
  let first = 0;
  let weight = 0;
  let index = 0;
  for await (const record of records) {
    const line = encoded(record, index);
    const bytes = encoder.encode(line).length + 1;
    if (lines.length > 0 && (lines.length === size || weight + bytes > largest)) {
      yield { first, lines };
      [lines, first, weight] = [[], index, 0];
    }
    lines.push(line);
    weight += bytes;
    index += 1;
  }
  if (lines.length > 0) yield { first, lines };
}

/** One record as a line of JSON. What JSON would silently turn into null (NaN, an invalid Date) is refused instead. */
export function encoded(record: object, index: number): string {
  if (record === null || typeof record !== "object" || Array.isArray(record)) {
    throw new UnsendableRecord(index, "is not allowed; allowed: an object of fields");
  }
  try {
    return JSON.stringify(record, function (this: Record<string, unknown>, name: string, value: unknown) {
      const given = this[name]; // before Date's own toJSON
      if (given instanceof Date && Number.isNaN(given.getTime())) throw new TypeError(`${name} is an invalid Date`);
      if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${name} is ${value}`);
      return value;
    });
  } catch (error) {
    throw new UnsendableRecord(index, (error as Error).message);
  }
}

/** The same bytes each time: the same idempotency key must carry the same body. */
export async function body(batch: Batch): Promise<Uint8Array<ArrayBuffer>> {
  const plain = new Blob([batch.lines.join("\n")]).stream();
  return new Uint8Array(await new Response(plain.pipeThrough(new CompressionStream("gzip"))).arrayBuffer());
}

export function halves(batch: Batch): [Batch, Batch] {
  const middle = Math.floor(batch.lines.length / 2);
  return [
    { first: batch.first, lines: batch.lines.slice(0, middle) },
    { first: batch.first + middle, lines: batch.lines.slice(middle) },
  ];
}
