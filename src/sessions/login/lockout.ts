/**
 * When failures lock a login. It counts logins by the name that was tried, in the tenant that was
 * tried, so that an account that does not exist is locked exactly like one that does.
 *
 * - no record: nothing has failed lately.
 * - counting: failures in a row, none later than `windowMs` after the one before. A success ends the
 *   row, and so does a longer pause.
 * - locked: from the failure that makes the row full, for `lockMs`. Nothing is counted meanwhile, and
 *   a right password is refused too. Then the count begins anew.
 */
export interface LockoutSettings {
  /** So many failures in a row lock. */
  readonly failuresMax: number;
  /** A failure that comes later than this after the one before begins a new row. Milliseconds. */
  readonly windowMs: number;
  /** For how long it is locked. Milliseconds. */
  readonly lockMs: number;
}

const MINUTE_MS = 60_000;

export const DEFAULT_LOCKOUT: LockoutSettings = {
  failuresMax: 10,
  windowMs: 15 * MINUTE_MS,
  lockMs: 15 * MINUTE_MS,
};

/** What is remembered of a login. Times: Unix milliseconds. */
export interface FailureRecord {
  readonly failures: number;
  readonly lastFailedAtMs: number;
  readonly lockedUntilMs: number | undefined;
}

/** Seconds for `Retry-After` while it is locked, at least 1; undefined: it is not. */
export function lockedForS(record: FailureRecord | undefined, nowMs: number): number | undefined {
  const leftMs = (record?.lockedUntilMs ?? nowMs) - nowMs;
  return leftMs > 0 ? Math.ceil(leftMs / 1000) : undefined;
}

/** What one more failure makes of a login that is not locked. */
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
