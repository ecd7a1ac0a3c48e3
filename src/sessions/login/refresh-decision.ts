/**
 * What a refresh token is good for. Each token of a session has its own generation, one higher than
 * any before, and knows its predecessor: the token that it was given for. A token is live until it
 * is used or another one takes its place; its chain is itself and what is given for it.
 *
 * - a live token rotates: it is used up, and its successor is given.
 * - a used token whose successors are all unused:
 *   - within the tolerance after its use: a sibling, one more successor beside the others. This is
 *     what tabs that race are given.
 *   - after that, within the time for retries: the answer was lost, so there is a new successor, and
 *     the newest of the unused ones dies.
 * - everything else is reuse: a token whose successor was used, one that has died, one that comes
 *   too late or too often. There are two copies and no way to tell which is the thief's, so the
 *   session ends everywhere.
 *
 * The first of several siblings to be used rotates. The others wait as the second chain of the
 * session; where it has a second chain already, they die. So no more than two chains go on, each by
 * itself, however many tabs have raced.
 *
 * Before that it is asked whether there is a session to refresh at all: the account is enabled, the
 * session was not ended, and neither it nor the token has expired. An ended or expired session has
 * nothing to steal.
 */
export interface RefreshFacts {
  readonly token: PresentedToken;
  /** All live tokens of the session; the presented one is among them if it is live. */
  readonly live: readonly LiveToken[];
  readonly userDisabled: boolean;
  readonly session: RefreshableSession;
}

/** Times: Unix milliseconds. */
export interface PresentedToken {
  readonly generation: number;
  /** undefined: the login's. */
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

/** A token is given. `dies`: the generations of those that are live no more. */
export type GivingDecision =
  | {
      readonly kind: "rotate";
      readonly dies: readonly number[];
      /** The generation of the token that is good for no retry from now on. */
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

/** Live successors of one token: as many tabs may race. */
export const SUCCESSORS_MAX = 8;
/** For one token: a client that tries again every six seconds until the default time is over. */
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
 * The time that a refreshed token claims to be issued at; undefined: there is none now.
 *
 * A cut-off that was published past the service ends sessions once the log is searched. Until then
 * it would say nothing of a token that was issued after it. So a token is no younger than the last
 * search, and a cut-off that was published since refuses it, whether or not any instance can reach
 * Redis. Only a session's own age limits that: a login after a cut-off is a new authentication, which
 * the cut-off does not mean.
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
  /** For how long no instance has searched the log. */
  readonly unsearchedMs: number;
  /** After so long without a search none is issued; 0: searches do not matter. */
  readonly unsearchedMaxMs: number;
}

/** The moment of expiry itself is too late. */
export function hasExpired(
  session: Pick<RefreshableSession, "idleExpiresAtMs" | "expiresAtMs">,
  nowMs: number,
): boolean {
  return nowMs >= session.idleExpiresAtMs || nowMs >= session.expiresAtMs;
}
