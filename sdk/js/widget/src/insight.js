/** `<integrator-insight>`: one subject's insight on a host's page, live. */
import { Card } from "./card.js";
import { LONGEST_TIMER_MS, Link } from "./link.js";

const SCRIPT = document.currentScript?.src ?? "";
const WANTED = ["use-case", "subject", "token-url"];

export class InsightElement extends HTMLElement {
  static observedAttributes = [...WANTED, "platform", "kind", "api", "label", "lang"];
  #card = null;
  #link = null;
  #restarting = false;
  #documents = new Map();
  #fresh = new Map();
  #ahead = 0; // the service's clock less ours, in milliseconds
  #timer = 0;
  #trouble = "";

  connectedCallback() {
    this.#card ??= new Card(this.attachShadow({ mode: "open" }));
    this.#restart();
  }

  disconnectedCallback() {
    this.#link?.close();
    this.#link = null;
    clearTimeout(this.#timer);
  }

  attributeChangedCallback(name, before, after) {
    if (this.#card === null || before === after) return;
    if (name === "label" || name === "lang") this.#show();
    else this.#restart();
  }

  /** Several attributes that change together are one change. */
  #restart() {
    if (this.#restarting) return;
    this.#restarting = true;
    queueMicrotask(() => {
      this.#restarting = false;
      this.#link?.close();
      this.#link = null;
      if (this.isConnected) this.#start();
    });
  }

  #start() {
    this.#documents.clear();
    this.#fresh.clear();
    const missing = WANTED.filter((name) => !this.getAttribute(name));
    this.#trouble = missing.length > 0 ? `The attribute ${missing.join(", ")} is missing.` : "";
    if (missing.length === 0) this.#link = this.#linked();
    this.#show();
  }

  #linked() {
    const given = (name) => this.getAttribute(name) ?? "";
    const query = new URLSearchParams({ use_case: given("use-case"), subject: given("subject") });
    for (const name of ["platform", "kind"]) if (given(name)) query.set(name, given(name));
    const api = (given("api") || (SCRIPT && new URL(SCRIPT).origin) || location.origin).replace(/\/+$/, "");
    const where = { api, tokenUrl: given("token-url"), useCase: given("use-case"), subject: given("subject"), query };
    const link = new Link(where, {
      event: (name, data) => this.#heard(link, name, data),
      open: () => this.#said(link, ""),
      trouble: (message) => this.#said(link, message),
    });
    return link;
  }

  #said(link, message) {
    if (link !== this.#link) return; // of a connection that was given up
    this.#trouble = message;
    this.#show();
  }

  #heard(link, name, data) {
    if (link !== this.#link) return;
    if (name === "insight") {
      const before = this.#documents.get(data.id);
      if (!before || data.insight_version > before.insight_version) this.#documents.set(data.id, data);
    } else if (name === "freshness") {
      this.#ahead = Date.parse(data.at) - Date.now();
      this.#fresh.set(data.id, data);
    } else if (name === "cursor" && this.#documents.size === 0) {
      this.#trouble = "There is no insight about this yet.";
    }
    if (this.#documents.size > 0 && name === "insight") this.#trouble = "";
    this.#show();
  }

  #show() {
    clearTimeout(this.#timer);
    const several = this.#documents.size > 1;
    const insight = several ? null : (this.#documents.values().next().value ?? null);
    const fresh = insight && this.#fresh.get(insight.id);
    const left = fresh ? Date.parse(fresh.stale_after) - Date.now() - this.#ahead : Infinity;
    const stale = Boolean(fresh) && (fresh.stale || left < 0) && insight.status !== "withdrawn";
    if (fresh && left >= 0) this.#timer = setTimeout(() => this.#show(), Math.min(left + 1000, LONGEST_TIMER_MS));
    const trouble = several ? "Several insights share this subject's id: set platform or kind." : this.#trouble;
    const state = insight?.status ?? (trouble ? "error" : "loading");
    this.setAttribute("state", state);
    this.toggleAttribute("stale", stale);
    this.toggleAttribute("offline", Boolean(insight && trouble));
    this.#card.show({
      label: this.getAttribute("label"),
      useCase: this.getAttribute("use-case") ?? "",
      locale: this.closest("[lang]")?.getAttribute("lang") || navigator.language,
      checkedAt: fresh?.checked_at,
      trouble: trouble || (state === "loading" ? "Loading …" : ""),
      document: insight,
      state,
      stale,
    });
  }
}

if (!customElements.get("integrator-insight")) customElements.define("integrator-insight", InsightElement);
