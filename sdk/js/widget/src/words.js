/** What stands on the card: numbers in the reader's own way of writing them, and the few words that are ours. */

const TITLES = {
  attendance: "Expected attendance",
  pricing: "Recommended price",
  lead_score: "Likelihood to convert",
};
const NOTES = {
  fallback: "A simple estimate: there is not enough history for a model yet.",
  refused: "There is no number to show yet.",
  withdrawn: "This no longer applies.",
};

export function title(useCase) {
  return TITLES[useCase] ?? useCase;
}

export function note(status) {
  return NOTES[status] ?? "";
}

/** A number in its unit: people, a currency's code, or a probability. An unknown unit stands behind its number. */
export function inUnit(value, unit, locale) {
  const { numbers, after } = formatOf(unit, locale);
  return numbers.format(value) + after;
}

/** The interval and how sure it is: "820–965 people, 80% likely". Empty without one. */
export function band(interval, unit, locale) {
  if (!interval) return "";
  const { numbers, after } = formatOf(unit, locale);
  const low = Math.min(interval.low, interval.high);
  const high = Math.max(interval.low, interval.high);
  const range = numbers.formatRange ? numbers.formatRange(low, high) : `${numbers.format(low)} – ${numbers.format(high)}`;
  return `${range}${after}, ${plain(locale, { style: "percent" }).format(interval.level)} likely`;
}

/** Where the value lies between the ends of its interval, in per cent; null where that says nothing. */
export function place(value, interval) {
  if (value === null || !interval || !(interval.high > interval.low)) return null;
  return Math.min(100, Math.max(0, (100 * (value - interval.low)) / (interval.high - interval.low)));
}

export function moment(iso, locale) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "an unknown time";
  try {
    return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(at);
  } catch {
    return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(at);
  }
}

function formatOf(unit, locale) {
  if (unit === "people") {
    return { numbers: plain(locale, { maximumFractionDigits: 0 }), after: " people" };
  }
  if (unit === "probability") {
    return { numbers: plain(locale, { style: "percent", maximumFractionDigits: 1 }), after: "" };
  }
  if (/^[A-Z]{3}$/.test(unit)) {
    return { numbers: plain(locale, { style: "currency", currency: unit }), after: "" };
  }
  return { numbers: plain(locale, {}), after: ` ${unit}` };
}

function plain(locale, options) {
  try {
    return new Intl.NumberFormat(locale, options);
  } catch {
    return new Intl.NumberFormat(undefined, options); // a language that is none
  }
}
