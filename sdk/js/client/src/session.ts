/** Asking with a credential: the token and its renewal, patience with refusals that pass, problems as errors. */
import { AuthenticationError, Problem, Unreachable } from "./errors.js";

const TRY_AGAIN = new Set([408, 425, 429, 500, 502, 503, 504]);
const EARLY_MS = 30_000; // a token is renewed this long before it ends
const LONGEST_WAIT_MS = 60_000;

export interface SessionOptions {
  clientId?: string;
  clientSecret?: string;
  apiKey?: string;
  attempts?: number;
  backoffMs?: number;
  timeoutMs?: number;
  fetch?: typeof fetch;
}

export interface Ask {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer> | string;
}

export class Session {
  retries = 0;
  readonly #base: string;
  readonly #attempts: number;
  readonly #backoffMs: number;
  readonly #timeoutMs: number;
  readonly #fetch: typeof fetch;
  readonly #basic: string | null;
  readonly #fixed: boolean;
  #token: string | null;
  #ends: number;
  #coming: Promise<string> | null = null;

  constructor(baseUrl: string, options: SessionOptions) {
    const pair = options.clientId !== undefined && options.clientSecret !== undefined;
    if (pair === (options.apiKey !== undefined)) throw new TypeError("give clientId and clientSecret, or apiKey");
    if (!/^https?:\/\/[^/]/.test(baseUrl)) throw new TypeError(`baseUrl ${baseUrl} is not allowed; allowed: an http(s) address`);
    this.#base = baseUrl.replace(/\/+$/, "");
    this.#attempts = options.attempts ?? 6;
    if (this.#attempts < 1) throw new RangeError(`attempts ${this.#attempts} is not allowed; allowed: 1 and more`);
    this.#backoffMs = options.backoffMs ?? 500;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    this.#fetch = options.fetch ?? fetch;
    const [id, secret] = [options.clientId ?? "", options.clientSecret ?? ""].map(encodeURIComponent);
    this.#basic = pair ? `Basic ${btoa(`${id}:${secret}`)}` : null;
    this.#fixed = !pair;
    this.#token = options.apiKey ?? null;
    this.#ends = this.#fixed ? Infinity : 0;
  }

  /** The answer to an authenticated request; a token that has ended is renewed, once. */
  async ask(ask: Ask): Promise<Response> {
    let answer = await this.#patiently(ask, true);
    if (answer.status === 401 && !this.#fixed) {
      await answer.body?.cancel();
      this.#ends = 0;
      answer = await this.#patiently(ask, true);
    }
    return good(answer);
  }

  async #patiently(ask: Ask, authorized: boolean): Promise<Response> {
    let said = "";
    for (let attempt = 1; attempt <= this.#attempts; attempt++) {
      const headers = { Accept: "application/json", ...ask.headers };
      if (authorized) Object.assign(headers, { Authorization: `Bearer ${await this.#bearer()}` });
      let asked: string | null = null;
      try {
        const answer = await this.#fetch.call(globalThis, this.#base + ask.path, {
          method: ask.method,
          headers,
          redirect: "error", // a redirect could carry the credential elsewhere
          signal: AbortSignal.timeout(this.#timeoutMs),
          ...(ask.body === undefined ? {} : { body: ask.body }),
        });
        if (!TRY_AGAIN.has(answer.status)) return answer;
        asked = answer.headers.get("retry-after");
        said = String(answer.status);
        await answer.body?.cancel();
      } catch (error) {
        said = `no answer (${(error as Error).name})`;
      }
      if (attempt < this.#attempts) {
        this.retries += 1;
        await pause(this.#wait(attempt, asked));
      }
    }
    throw new Unreachable(`${ask.method} ${ask.path.split("?")[0]}: ${said} after ${this.#attempts} attempts`);
  }

  /** What the service asked for, else doubling with jitter, so that many senders do not return at once. */
  #wait(attempt: number, asked: string | null): number {
    const seconds = asked === null || asked.trim() === "" ? Number.NaN : Number(asked);
    const backoff = this.#backoffMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
    return Math.min(Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : backoff, LONGEST_WAIT_MS);
  }

  async #bearer(): Promise<string> {
    if (this.#token !== null && performance.now() < this.#ends) return this.#token;
    this.#coming ??= this.#granted().finally(() => {
      this.#coming = null; // many requests at once fetch one token
    });
    return this.#coming;
  }

  async #granted(): Promise<string> {
    const headers = { Authorization: this.#basic ?? "", "Content-Type": "application/x-www-form-urlencoded" };
    const body = "grant_type=client_credentials";
    const answer = await good(await this.#patiently({ method: "POST", path: "/oauth/token", headers, body }, false));
    const granted = (await answer.json()) as { access_token: string; expires_in: number };
    this.#token = granted.access_token;
    this.#ends = performance.now() + Math.max(granted.expires_in * 1000 - EARLY_MS, 1000);
    return this.#token;
  }
}

async function good(answer: Response): Promise<Response> {
  if (answer.ok) return answer;
  const found: unknown = await answer.json().catch(() => ({}));
  const document = found !== null && typeof found === "object" ? (found as Record<string, unknown>) : {};
  const Refusal = answer.status === 401 || answer.status === 403 ? AuthenticationError : Problem;
  throw new Refusal(answer.status, document);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
