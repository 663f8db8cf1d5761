export type Kind = "events" | "contacts" | "sales";

/** A record that is in quarantine: its place among those given to `send` (from 0), and why. */
export interface Rejected {
  index: number;
  field: string | null;
  value: string | null;
  reason: string;
}

/** Counts over all batches. `unchanged` were there already, just so; `rejected` wait in quarantine to be mended. */
export interface Report {
  accepted: number;
  unchanged: number;
  quarantined: number;
  rejected: Rejected[];
}

export function emptyReport(): Report {
  return { accepted: 0, unchanged: 0, quarantined: 0, rejected: [] };
}

export function addReport(total: Report, more: Report): void {
  total.accepted += more.accepted;
  total.unchanged += more.unchanged;
  total.quarantined += more.quarantined;
  for (const one of more.rejected) total.rejected.push(one);
}
