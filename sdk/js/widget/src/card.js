/** The card in its shadow: built once, filled with text alone, so that nothing a document holds can become markup. */
import { band, inUnit, moment, note, place, title } from "./words.js";

const STYLE = `
:host { display: block; color-scheme: light dark; container-type: inline-size;
  --_text: var(--integrator-text, light-dark(#1b1f24, #e6edf3)); --_muted: var(--integrator-muted, light-dark(#57606a, #9aa7b4));
  --_surface: var(--integrator-surface, light-dark(#ffffff, #161b22)); --_border: var(--integrator-border, light-dark(#d0d7de, #3d444d));
  --_accent: var(--integrator-accent, light-dark(#0a5fb4, #6cb6ff)); --_warn: var(--integrator-warn, light-dark(#8a5a00, #e3b341)); }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([hidden]) { display: none; }
section { font: 400 1rem/1.45 var(--integrator-font, system-ui, sans-serif); color: var(--_text); background: var(--_surface);
  border: 1px solid var(--_border); border-radius: var(--integrator-radius, .75rem); padding: 1rem 1.125rem; }
p { margin: 0; overflow-wrap: anywhere; }
.title { font-size: .875rem; color: var(--_muted); }
.value { font-size: 2rem; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums; }
.value:empty, .band:empty, .sentence:empty, .note:empty, .stale:empty { display: none; }
.band { font-size: .875rem; color: var(--_muted); font-variant-numeric: tabular-nums; }
.track { position: relative; height: .375rem; margin: .5rem 0 .375rem; border-radius: 1rem;
  background: color-mix(in srgb, var(--_accent) 28%, transparent); }
.track[hidden] { display: none; }
.mark { position: absolute; top: -.1875rem; width: .75rem; height: .75rem; margin-left: -.375rem; border-radius: 50%;
  background: var(--_accent); border: 2px solid var(--_surface); box-sizing: border-box; }
.sentence { margin-top: .625rem; }
.note, .stale { margin-top: .5rem; font-size: .875rem; color: var(--_muted); }
.stale { color: var(--_warn); font-weight: 600; }
:host([state="withdrawn"]) .value, :host([stale]) .value { color: var(--_muted); }
:host([state="error"]) .note { color: var(--_warn); }
`;

export class Card {
  #part = {};
  #section;

  constructor(root) {
    const sheet = new CSSStyleSheet(); // no <style>: a page's content security policy may forbid those
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#section = element("section", "card", { role: "group" });
    const said = element("div", "said", { "aria-live": "polite", "aria-atomic": "true" });
    this.#part.title = element("p", "title", { id: "title" });
    this.#section.setAttribute("aria-labelledby", "title");
    for (const name of ["value", "track", "band", "sentence", "stale"]) {
      this.#part[name] = element(name === "track" ? "div" : "p", name);
      said.append(this.#part[name]);
    }
    this.#part.mark = element("div", "mark");
    this.#part.track.append(this.#part.mark);
    this.#part.track.setAttribute("aria-hidden", "true"); // the band says it in words
    this.#part.note = element("p", "note", { role: "status" });
    this.#section.append(this.#part.title, said, this.#part.note);
    root.append(this.#section);
  }

  /** `view`: label, useCase, state, document, stale, checkedAt, trouble, locale. */
  show(view) {
    const { document: insight, locale } = view;
    this.#section.setAttribute("aria-busy", String(view.state === "loading"));
    this.#text("title", view.label || title(view.useCase));
    const value = insight && typeof insight.value === "number" ? insight.value : null;
    this.#text("value", value === null ? "" : inUnit(value, insight.unit, locale));
    this.#text("band", insight ? band(insight.interval, insight.unit, locale) : "");
    const at = insight ? place(value, insight.interval) : null;
    this.#part.track.hidden = at === null;
    if (at !== null) this.#part.mark.style.left = `${at}%`;
    this.#text("sentence", insight?.explanation?.summary ?? "");
    this.#text("stale", view.stale ? `Not confirmed since ${moment(view.checkedAt, locale)}.` : "");
    this.#text("note", [insight ? note(insight.status) : "", view.trouble].filter(Boolean).join(" "));
  }

  #text(name, text) {
    const part = this.#part[name];
    if (part.textContent !== text) part.textContent = text; // what is the same is not read out again
  }
}

function element(tag, part, attributes = {}) {
  const made = document.createElement(tag);
  made.className = part;
  made.setAttribute("part", part);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
