/**
 * What a refresh token is good for. Tokens of a session come in generations: using one of the present
 * generation makes the next, and both tabs of a browser that race with the same token are given
 * tokens of the same generation.
 *
 * - the present generation: rotates.
 * - the one before, within the tolerance after it was replaced: a sibling of the present generation;
 *   nothing rotates, so the tolerance is not prolonged by using it.
 * - anything older, or the one before when the tolerance is over: reuse. Somebody has a copy, and
 *   nobody can tell who is the thief, so the session ends everywhere.
 * - a later one is left by a rotation that was taken back (its answer never went out): it rotates.
 *
 * Before that it is asked whether there is a session to refresh at all: the account is enabled, the
 * session was not ended, and it has not expired. An ended or expired session has nothing to steal.
 */
export interface RefreshFacts {
  /** Of the token that was presented. */
  readonly generation: number;
  readonly userDisabled: boolean;
  readonly session: RefreshableSession;
}

/** Times: Unix milliseconds. */
export interface RefreshableSession {
  readonly ended: boolean;
  readonly idleExpiresAtMs: number;
  readonly expiresAtMs: number;
  /** The present generation, and since when. */
  readonly generation: number;
  readonly rotatedAtMs: number;
}

export type RefreshDecision =
  | { readonly kind: "rotate"; readonly generation: number }
  | { readonly kind: "sibling"; readonly generation: number }
  | { readonly kind: "reuse" }
  | {
      readonly kind: "refuse";
      readonly code: "account_disabled" | "session_ended" | "refresh_token_invalid";
    };

export function decideRefresh(
  { generation, userDisabled, session }: RefreshFacts,
  nowMs: number,
  toleranceMs: number,
): RefreshDecision {
  if (userDisabled) return { kind: "refuse", code: "account_disabled" };
  if (session.ended) return { kind: "refuse", code: "session_ended" };
  if (hasExpired(session, nowMs)) return { kind: "refuse", code: "refresh_token_invalid" };
  if (generation >= session.generation) return { kind: "rotate", generation: generation + 1 };
  const isPredecessor = generation === session.generation - 1;
  const tolerated = toleranceMs > 0 && nowMs - session.rotatedAtMs <= toleranceMs;
  return isPredecessor && tolerated
    ? { kind: "sibling", generation: session.generation }
    : { kind: "reuse" };
}

/** The moment of expiry itself is too late. */
export function hasExpired(
  session: Pick<RefreshableSession, "idleExpiresAtMs" | "expiresAtMs">,
  nowMs: number,
): boolean {
  return nowMs >= session.idleExpiresAtMs || nowMs >= session.expiresAtMs;
}
