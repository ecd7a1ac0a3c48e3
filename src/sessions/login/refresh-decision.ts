/**
 * What a refresh token may still do. Each token of a session has its own generation, one higher
 * than any before, and knows its predecessor: the token that it was issued for. A token is live
 * until it is used or replaced; its chain is itself and the tokens issued for it.
 *
 * - a live token rotates: it is used up, and its successor is issued.
 * - a used token whose successors are all unused:
 *   - within the tolerance after its use: a sibling, one more successor beside the others. This
 *     serves browser tabs that race.
 *   - after that, within the time for retries: the answer was lost, so a new successor is issued, and
 *     the newest of the unused ones dies.
 * - everything else is reuse: a token whose successor was used, a dead one, one that comes too late
 *   or too often. There are two copies and no way to tell which is the thief's, so the session ends
 *   everywhere.
 *
 * The first of several siblings to be used rotates. The others remain as the session's second
 * chain; if there is a second chain already, they die. So at most two chains continue, each by
 * itself, however many tabs have raced.
 *
 * All this requires that the account is enabled, that the session was not ended, and that neither
 * the session nor the token has expired. A token of an ended or expired session is worthless to a
 * thief.
 */
export interface RefreshFacts {
  readonly token: PresentedToken;
  /** All live tokens of the session, including the presented one if it is live. */
  readonly live: readonly LiveToken[];
  readonly userDisabled: boolean;
  readonly session: RefreshableSession;
}

/** Times: Unix milliseconds. */
export interface PresentedToken {
  readonly generation: number;
  /** undefined: the login's token. */
  readonly predecessor: number | undefined;
  readonly expiresAtMs: number;
  /** undefined: live. */
  readonly replacedAtMs: number | undefined;
  readonly successorUsed: boolean;
}

export interface LiveToken {
  readonly generation: number;
  readonly predecessor: number | undefined;
  /** How many retries led to it. */
  readonly retries: number;
}

/** Times: Unix milliseconds. */
export interface RefreshableSession {
  readonly ended: boolean;
  readonly idleExpiresAtMs: number;
  readonly expiresAtMs: number;
}

export interface RefreshTimes {
  readonly nowMs: number;
  /** 0: there are no siblings. */
  readonly toleranceMs: number;
  /** 0: there are no retries. */
  readonly retryMs: number;
}

/** A token is issued. `dies`: the generations of tokens that are no longer live. */
export type GivingDecision =
  | {
      readonly kind: "rotate";
      readonly dies: readonly number[];
      /** The generation of the token that may not be retried from now on. */
      readonly settles: number | undefined;
    }
  | { readonly kind: "sibling"; readonly dies: readonly [] }
  | { readonly kind: "retry"; readonly dies: readonly [number]; readonly retries: number };

export type RefreshDecision =
  | GivingDecision
  | { readonly kind: "reuse" }
  | {
      readonly kind: "refuse";
      readonly code: "account_disabled" | "session_ended" | "refresh_token_invalid";
    };

/** Live successors of one token: this many tabs may race. */
export const SUCCESSORS_MAX = 8;
/** Per token: a client that retries every six seconds until the default time is over. */
export const RETRIES_MAX = 20;

export function decideRefresh(facts: RefreshFacts, times: RefreshTimes): RefreshDecision {
  const { token, userDisabled, session } = facts;
  const { nowMs } = times;
  if (userDisabled) return { kind: "refuse", code: "account_disabled" };
  if (session.ended) return { kind: "refuse", code: "session_ended" };
  if (hasExpired(session, nowMs) || nowMs >= token.expiresAtMs) {
    return { kind: "refuse", code: "refresh_token_invalid" };
  }
  if (token.replacedAtMs !== undefined) {
    return decideUsed(facts, { ...times, usedForMs: nowMs - token.replacedAtMs });
  }
  return rotation(facts);
}

function rotation({ token, live }: RefreshFacts): GivingDecision {
  const { generation: own, predecessor: parent } = token;
  const others = live.filter(({ generation }) => generation !== own);
  const siblings = others.filter(({ predecessor }) => predecessor === parent);
  const hasOtherChain = others.length > siblings.length;
  const dying = hasOtherChain ? siblings.map(({ generation }) => generation) : [];
  const settles = siblings.length > dying.length ? parent : undefined;
  return { kind: "rotate", dies: [own, ...dying], settles };
}

function decideUsed(
  { token, live }: RefreshFacts,
  times: RefreshTimes & { readonly usedForMs: number },
): RefreshDecision {
  const { usedForMs, toleranceMs, retryMs } = times;
  const successors = live.filter(({ predecessor }) => predecessor === token.generation);
  const newest = successors.toSorted((a, b) => a.generation - b.generation).at(-1);
  if (token.successorUsed || newest === undefined) return { kind: "reuse" };
  const isTolerated = toleranceMs > 0 && usedForMs <= toleranceMs;
  if (isTolerated && successors.length < SUCCESSORS_MAX) return { kind: "sibling", dies: [] };
  const mayRetry = retryMs > 0 && usedForMs <= retryMs && newest.retries < RETRIES_MAX;
  return mayRetry
    ? { kind: "retry", dies: [newest.generation], retries: newest.retries + 1 }
    : { kind: "reuse" };
}

/**
 * The issue time (`iat`) of a refreshed token; undefined: none can be issued now.
 *
 * A cut-off published past the service ends sessions once the log is searched. Until then it would
 * not apply to a token issued after it. So a token is dated no later than the last search, and a
 * cut-off published since then refuses it, whether or not any instance can reach Redis. The date is
 * never earlier than the session itself: a login after a cut-off is a new authentication, which the
 * cut-off does not concern.
 */
export function issueTimeMs({
  nowMs,
  sessionCreatedAtMs,
  unsearchedMs,
  unsearchedMaxMs,
}: IssueTimes): number | undefined {
  if (unsearchedMaxMs === 0) return nowMs;
  if (unsearchedMs > unsearchedMaxMs) return undefined;
  return Math.min(nowMs, Math.max(nowMs - unsearchedMs, sessionCreatedAtMs));
}

export interface IssueTimes {
  readonly nowMs: number;
  readonly sessionCreatedAtMs: number;
  /** How long no instance has searched the log. */
  readonly unsearchedMs: number;
  /** After this long without a search no token is issued; 0: searches do not matter. */
  readonly unsearchedMaxMs: number;
}

/** The moment of expiry itself counts as expired. */
export function hasExpired(
  session: Pick<RefreshableSession, "idleExpiresAtMs" | "expiresAtMs">,
  nowMs: number,
): boolean {
  return nowMs >= session.idleExpiresAtMs || nowMs >= session.expiresAtMs;
}
