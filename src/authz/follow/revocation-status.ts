/** What this node knows about one token's revocation at one moment. */
import type { AccessToken } from "../../tokens/access-token.js";
import { elapsedAtLeastMs, type Moment } from "../../runtime/clock.js";
import type { KnownRevocations, LocalState } from "./local-state.js";
import type { Freshness } from "./follower-state.js";

/**
 * Why "not known to be revoked" does not mean "not revoked":
 *
 * - `stale`: the last proof of having applied the whole log is older than the limit;
 * - `saturated`: entries that may still matter were evicted from the bounded memory;
 * - `unreadable_entry`: the log holds an entry that this version cannot read;
 * - `before_log`: the token is older than what the log covers.
 */
export type Uncertainty = "stale" | "saturated" | "unreadable_entry" | "before_log";

export interface RevocationStatus extends Omit<KnownRevocations, "uncertainty"> {
  /** undefined: what is not known to be revoked is not revoked. */
  readonly uncertainty: Uncertainty | undefined;
}

export interface StatusLimits {
  readonly maxStalenessMs: number;
  readonly skewMs: number;
}

/** Synchronous and without effect, so that nothing can change between look-up and decision. */
export function revocationStatusOf(
  token: AccessToken,
  known: { readonly state: LocalState; readonly freshness: Freshness },
  now: Moment,
  limits: StatusLimits,
): RevocationStatus {
  const revocations = known.state.lookUp(token);
  const { provenAt, coversFromMs } = known.freshness;
  const stale = provenAt === undefined || elapsedAtLeastMs(provenAt, now) > limits.maxStalenessMs;
  const beforeLog = token.issuedAt * 1000 <= coversFromMs + limits.skewMs;
  const { uncertainty } = revocations;
  return {
    ...revocations,
    uncertainty: stale ? "stale" : (uncertainty ?? (beforeLog ? "before_log" : undefined)),
  };
}
