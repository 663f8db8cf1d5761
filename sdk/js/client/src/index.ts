export { Client, type ClientOptions, type SendOptions, type Progress } from "./client.js";
export { AuthenticationError, IntegratorError, Problem, Unreachable, UnsendableRecord } from "./errors.js";
export { type Kind, type Rejected, type Report } from "./report.js";
export type { Contact, Event, Sale } from "./records.js";
