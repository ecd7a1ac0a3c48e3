/** When failures lock a login. */
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
