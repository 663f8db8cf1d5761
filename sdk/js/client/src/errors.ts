/** Base of every failure of this package. */
export class IntegratorError extends Error {
  override name = "IntegratorError";
}

/** A record that cannot be written as JSON; `index` counts from 0 over everything given to `send`. */
export class UnsendableRecord extends IntegratorError {
  override name = "UnsendableRecord";
  constructor(
    readonly index: number,
    readonly reason: string,
  ) {
    super(`record ${index}: ${reason}`);
  }
}

/** No answer, or "try again", until the attempts were used up. Sending the same again is safe. */
export class Unreachable extends IntegratorError {
  override name = "Unreachable";
}

/** The service refused, with an RFC 9457 problem document. */
export class Problem extends IntegratorError {
  override name = "Problem";
  readonly type: string;
  readonly detail: string;
  constructor(
    readonly status: number,
    readonly document: Record<string, unknown>,
  ) {
    const detail = String(document["detail"] ?? document["error_description"] ?? "no reason given");
    super(`${status} ${String(document["title"] ?? document["error"] ?? "")}: ${detail}`);
    this.type = String(document["type"] ?? "about:blank");
    this.detail = detail;
  }
}

/** The credential is wrong, revoked or lacks the scope. */
export class AuthenticationError extends Problem {
  override name = "AuthenticationError";
}
