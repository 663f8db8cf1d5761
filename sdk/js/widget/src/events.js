/** Server-sent events out of text that arrives in pieces (WHATWG HTML §9.2): EventSource can send no bearer header. */

const LONGEST = 4 << 20; // characters without an end of line: more is no event of ours

export class Events {
  /** The id to come back with; null before the first. */
  lastId = null;
  #rest = "";
  #name = "";
  #data = [];

  /** Take a piece; the events that it completes, each `{ name, data }`. */
  take(piece) {
    const found = [];
    const text = this.#rest + piece;
    const ends = /\r\n|\n|\r(?!$)/g; // a \r at the very end may be half of \r\n
    let from = 0;
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      this.#line(text.slice(from, end.index), found);
      from = ends.lastIndex;
    }
    this.#rest = text.slice(from);
    if (this.#rest.length > LONGEST) throw new RangeError("an event without an end");
    return found;
  }

  #line(line, found) {
    if (line === "") {
      if (this.#data.length > 0) found.push({ name: this.#name || "message", data: this.#data.join("\n") });
      this.#name = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
  }
}
