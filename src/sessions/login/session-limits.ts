/** How long sessions last. All in milliseconds. */
export interface SessionLimits {
  /** A session that is not refreshed for this long ends. */
  readonly idleMs: number;
  /** Every session ends after this long. */
  readonly absoluteMs: number;
  /** How long a used refresh token still yields a sibling of its successor; 0: never. */
  readonly refreshToleranceMs: number;
  /** How long it still yields a replacement for an unused successor; 0: never. */
  readonly refreshRetryMs: number;
  /** How long the revocation log may be unsearched; 0: without limit. */
  readonly refreshUnsearchedMaxMs: number;
}

/**
 * Open sessions per user; one more login ends the oldest. No user has that many devices, and ending
 * all of a user's sessions has to stay quick: endless logins, by mistake or with a stolen password,
 * must not produce more than can be revoked.
 */
export const OPEN_SESSIONS_MAX = 200;
