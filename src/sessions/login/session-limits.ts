/** How long sessions last. All in milliseconds. */
export interface SessionLimits {
  /** A session that is not refreshed for so long is over. */
  readonly idleMs: number;
  /** A session is over after so long, however busy. */
  readonly absoluteMs: number;
  /** For how long a used refresh token still yields a sibling of its successor; 0: not at all. */
  readonly refreshToleranceMs: number;
  /** For how long it still yields a successor in place of one that was not used; 0: not at all. */
  readonly refreshRetryMs: number;
  /** For how long the revocation log may be unsearched; 0: however long. */
  readonly refreshUnsearchedMaxMs: number;
}

/**
 * Open sessions that a user may have; one login more ends the oldest. Nobody has so many devices, and
 * whatever ends all of a user's sessions has to stay quick: who logs in without end, by mistake or
 * with a stolen password, must not become too much to revoke.
 */
export const OPEN_SESSIONS_MAX = 200;
