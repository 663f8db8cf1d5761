/** The line to the service: a token from the host's backend, renewed before it ends, and a stream that is come back to. */
import { Events } from "./events.js";

const SILENCE_MS = 45_000; // three heartbeats
const STEADY_MS = 10_000; // a connection that has lasted so long was a good one
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const REFUSED_WAIT_MS = 60_000;
const EARLY_SHARE = 0.2; // of a token's life is left when the next one is fetched
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What went wrong, in words for the page; `wait` is in milliseconds when it is known. */
class Trouble extends Error {
  constructor(message, wait) {
    super(message);
    this.wait = wait;
  }
}

export class Link {
  #heard;
  #where;
  #stop = new AbortController();
  #events = new Events();
  #token = null;
  #renewAt = 0;
  #attempt = 0;
  #openedAt = Infinity;
  #hurry = () => {};

  /** `where`: api, tokenUrl and the stream's query; `heard`: `event(name, data)`, `open()` and `trouble(message)`. */
  constructor(where, heard) {
    this.#where = where;
    this.#heard = heard;
    const online = () => this.#hurry();
    addEventListener("online", online);
    this.#stop.signal.addEventListener("abort", () => removeEventListener("online", online));
    this.#run();
  }

  close() {
    this.#stop.abort();
    this.#hurry();
  }

  async #run() {
    while (!this.#stop.signal.aborted) {
      let wait = null;
      try {
        await this.#follow(this.#token !== null && performance.now() < this.#renewAt ? this.#token : await this.#fetched());
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#heard.trouble(error instanceof Trouble ? error.message : "The service cannot be reached.");
        wait = error.wait ?? null;
        this.#attempt = performance.now() - this.#openedAt > STEADY_MS ? 1 : this.#attempt + 1;
        this.#openedAt = Infinity;
      }
      if (this.#attempt > 0) await this.#pause(wait ?? this.#backoff());
    }
  }

  /** Doubles up to half a minute, with jitter: many pages must not come back at one moment. */
  #backoff() {
    return Math.min(FIRST_WAIT_MS * 2 ** (this.#attempt - 1), LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #fetched() {
    this.#token = null;
    const { tokenUrl, useCase, subject } = this.#where;
    const answer = await fetch(tokenUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ use_case: useCase, subject }),
      redirect: "error",
      signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(SILENCE_MS)]),
    });
    if (!answer.ok) throw await refusal(answer, "The page's own server gave no token");
    const given = await answer.json();
    if (typeof given.token !== "string" || !(given.expires_in > 0)) throw new Trouble("The page's own server gave no token.");
    const life = Math.min(given.expires_in * 1000 * (1 - EARLY_SHARE), LONGEST_TIMER_MS);
    this.#renewAt = performance.now() + life;
    this.#token = given.token;
    return given.token;
  }

  /** Read one stream, until either side ends it; returns when it is to be opened again at once. */
  async #follow(token) {
    const leave = new AbortController();
    const silence = { timer: 0 };
    const heard = () => {
      clearTimeout(silence.timer);
      silence.timer = setTimeout(() => leave.abort(), SILENCE_MS);
    };
    heard();
    let renewed = false;
    const renewal = setTimeout(async () => {
      try {
        await this.#fetched();
        renewed = true;
        leave.abort(); // the next stream goes on where this one ends
      } catch {
        this.#renewAt = 0; // the service ends the stream when the token ends, and then it is tried again
      }
    }, Math.max(0, this.#renewAt - performance.now()));
    try {
      await this.#read(await this.#opened(token, AbortSignal.any([this.#stop.signal, leave.signal])), heard);
      this.#attempt = 0;
    } catch (error) {
      if (!renewed) throw error;
      this.#attempt = 0;
    } finally {
      clearTimeout(renewal);
      clearTimeout(silence.timer);
      leave.abort();
    }
  }

  async #opened(token, signal) {
    const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream" };
    if (this.#events.lastId !== null) headers["Last-Event-ID"] = this.#events.lastId;
    const answer = await fetch(`${this.#where.api}/v1/live?${this.#where.query}`, {
      headers,
      signal,
      cache: "no-store",
      redirect: "error",
    });
    if (answer.ok) return answer;
    if (answer.status === 401) this.#token = null;
    if (answer.status === 422) this.#events = new Events(); // a cursor of another time: begin with what is current
    throw await refusal(answer, "The service refused");
  }

  async #read(answer, heard) {
    this.#openedAt = performance.now();
    this.#heard.open();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    this.#events = Object.assign(new Events(), { lastId: this.#events.lastId }); // half an event is of no use
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Trouble("The connection was lost.");
      heard();
      for (const { name, data } of this.#events.take(value)) {
        if (name === "end") {
          this.#ended(JSON.parse(data));
          return;
        }
        this.#heard.event(name, JSON.parse(data));
      }
    }
  }

  #ended({ reason, detail }) {
    if (reason === "token_expired" || reason === "revoked") this.#token = null;
    if (reason !== "token_expired") throw new Trouble(`The service ended the connection: ${detail}.`);
  }
}

async function refusal(answer, said) {
  const problem = await answer.json().catch(() => ({}));
  const detail = typeof problem?.detail === "string" ? problem.detail : `status ${answer.status}`;
  const after = Number(answer.headers.get("Retry-After"));
  const wait = after > 0 ? after * 1000 : answer.status === 403 || answer.status === 404 ? REFUSED_WAIT_MS : undefined;
  return new Trouble(`${said}: ${detail}`, wait);
}
