/**
 * When failures lock a login. It counts by the login and tenant that were tried, so that an unknown
 * account is locked exactly like a known one.
 *
 * - no record: no recent failures.
 * - counting: failures in a row, none later than `windowMs` after the one before. A success resets
 *   the count, and so does a longer pause.
 * - locked: for `lockMs` from the failure that reaches the limit. Nothing is counted meanwhile, and
 *   the right password is refused too. Then the count starts again.
 */
export interface LockoutSettings {
  /** How many failures in a row lock the login. */
  readonly failuresMax: number;
  /** A failure later than this after the one before starts a new count. Milliseconds. */
  readonly windowMs: number;
  /** How long it stays locked. Milliseconds. */
  readonly lockMs: number;
}

const MINUTE_MS = 60_000;

export const DEFAULT_LOCKOUT: LockoutSettings = {
  failuresMax: 10,
  windowMs: 15 * MINUTE_MS,
  lockMs: 15 * MINUTE_MS,
};

/** The stored failures of a login. Times: Unix milliseconds. */
export interface FailureRecord {
  readonly failures: number;
  readonly lastFailedAtMs: number;
  readonly lockedUntilMs: number | undefined;
}

/** Seconds for `Retry-After` while locked, at least 1; undefined: not locked. */
export function lockedForS(record: FailureRecord | undefined, nowMs: number): number | undefined {
  const leftMs = (record?.lockedUntilMs ?? nowMs) - nowMs;
  return leftMs > 0 ? Math.ceil(leftMs / 1000) : undefined;
}

/** The record after one more failure of a login that is not locked. */
export function afterFailure(
  record: FailureRecord,
  nowMs: number,
  { failuresMax, windowMs, lockMs }: LockoutSettings,
): FailureRecord {
  const beginsAnew = record.lockedUntilMs !== undefined || nowMs - record.lastFailedAtMs > windowMs;
  const failures = beginsAnew ? 1 : record.failures + 1;
  const lockedUntilMs = failures >= failuresMax ? nowMs + lockMs : undefined;
  return { failures, lastFailedAtMs: nowMs, lockedUntilMs };
}
